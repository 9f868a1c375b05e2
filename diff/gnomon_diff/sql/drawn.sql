-- Which requests to show: those with the lowest hashes of their ids, an equal share of each kind of disagreement.
SELECT request_id
FROM (
    SELECT
        request_id,
        {stratum} AS stratum,
        row_number() OVER (PARTITION BY {stratum} ORDER BY md5(request_id)) AS turn
    FROM {pairs}
    WHERE disagrees
)
ORDER BY turn, stratum
LIMIT {most}
