-- The features of some requests, drawn by the hash of their ids: where to cut them.
SELECT {columns}
FROM {pairs}
WHERE {drawn}
