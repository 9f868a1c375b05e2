-- Some requests on which the answers differ, one by one.
SELECT
    pair.request_id AS request_id,
    pair.ts AS ts,
    {stratum} AS stratum,
    pair.served_label AS served_label,
    pair.served_score AS served_score,
    pair.served_output AS served_output,
    pair.candidate_label AS candidate_label,
    pair.candidate_score AS candidate_score,
    pair.candidate_output AS candidate_output,
    truth.label AS label,
    {columns}
FROM {pairs} AS pair
LEFT JOIN (SELECT * FROM labels WHERE request_id IN ({drawn})) AS truth USING (request_id)
WHERE pair.request_id IN ({drawn})
ORDER BY stratum, md5(pair.request_id)
