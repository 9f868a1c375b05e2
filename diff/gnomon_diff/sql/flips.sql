-- What users got against what the candidate would have said; how much of each cell has a label, can never have one,
-- and who was right.
SELECT
    served_label AS "primary",
    candidate_label AS candidate,
    count(*) AS n,
    sum({weight})::DOUBLE AS weight,
    count(labels.label) AS labelled,
    -- What this answer of the primary ended has no outcome.
    count(*) FILTER (labels.label IS NULL AND served_label = {never}) AS never,
    count(*) FILTER (labels.label = served_label) AS primary_right,
    count(*) FILTER (labels.label = candidate_label) AS candidate_right
FROM {pairs} AS pair LEFT JOIN labels USING (request_id)
WHERE disagrees IS NOT NULL
GROUP BY served_label, candidate_label
ORDER BY count(*) DESC, served_label, candidate_label
LIMIT {most}
