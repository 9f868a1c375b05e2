-- Which requests to show: those with the lowest hashes of their ids, an equal share of each kind of flip.
SELECT request_id
FROM (
    SELECT
        request_id,
        served_label AS a,
        candidate_label AS b,
        row_number() OVER (PARTITION BY served_label, candidate_label ORDER BY md5(request_id)) AS turn
    FROM {pairs}
    WHERE disagrees
)
ORDER BY turn, a, b
LIMIT {most}
