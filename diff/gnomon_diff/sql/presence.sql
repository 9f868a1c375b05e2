-- Of every feature, how often it has no value, and how often one that usually stands for none: by day and by the
-- version that served.
SELECT
    block,
    served_version AS version,
    grouping(served_version) = 0 AS by_version,
    count(*) AS n,
    [{nulls}]::BIGINT[] AS nulls,
    [{defaults}]::BIGINT[] AS defaults
FROM (SELECT *, floor((epoch_us(ts) - {start_us}) / 86400000000)::BIGINT AS block FROM {pairs})
GROUP BY GROUPING SETS ((block), (served_version))
ORDER BY by_version, block, n DESC, version
