-- Which requests to show: those with the lowest hashes of their ids, an equal share of each kind of flip and place.
SELECT request_id, place
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY a, b, place ORDER BY md5({seed} || request_id)) AS turn
    FROM (
        SELECT request_id, served_label AS a, candidate_label AS b, {place} AS place
        FROM {pairs}
        WHERE disagrees
    )
)
ORDER BY turn, place, a, b
LIMIT {most}
