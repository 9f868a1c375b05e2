-- The columns of the reference.
DESCRIBE FROM read_parquet([{files}])
