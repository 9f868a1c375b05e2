-- How many rows the reference has, and how many values of each feature there are and can be read.
SELECT count(*) AS n, [{present}]::BIGINT[] AS present, [{readable}]::BIGINT[] AS readable
FROM read_parquet([{files}])
