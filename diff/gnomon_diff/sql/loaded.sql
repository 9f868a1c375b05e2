-- Whether labels were ever loaded, and when last.
SELECT count(*) AS labels, max(loaded_at) AS last_load
FROM labels
