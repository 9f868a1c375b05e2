-- Some requests on which the answers differ, one by one.
SELECT
    pair.request_id AS request_id,
    pair.ts AS ts,
    pair.served_label AS served_label,
    pair.served_score AS served_score,
    pair.candidate_label AS candidate_label,
    pair.candidate_score AS candidate_score,
    truth.label AS label,
    {columns}
FROM {pairs} AS pair
LEFT JOIN (SELECT * FROM labels WHERE request_id IN ({drawn})) AS truth USING (request_id)
WHERE pair.request_id IN ({drawn})
ORDER BY pair.served_label, pair.candidate_label, md5(pair.request_id)
