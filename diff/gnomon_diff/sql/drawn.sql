-- Which requests to show: those with the lowest hashes of their ids, an equal share of each kind of disagreement and
-- place.
SELECT request_id, place
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY stratum, place ORDER BY md5({seed} || request_id)) AS turn
    FROM (
        SELECT request_id, {stratum} AS stratum, {place} AS place
        FROM {pairs}
        WHERE disagrees
    )
)
ORDER BY turn, place, stratum
LIMIT {most}
