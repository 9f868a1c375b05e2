-- How the answers differ: requests by kind of disagreement (of JSON by path as well), the most frequent first.
WITH found AS (
    SELECT request_id, {weight} AS w, {difference} AS difference
    FROM {pairs}
    WHERE disagrees
)

SELECT
    {path} AS path,
    {kind} AS kind,
    count(*) AS n,
    sum(w)::DOUBLE AS weight,
    arg_min(request_id, md5(request_id), {examples}) AS examples
FROM found
GROUP BY ALL
ORDER BY n DESC, path, kind
LIMIT {most}
