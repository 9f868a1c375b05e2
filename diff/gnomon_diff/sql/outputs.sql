-- What both sides answered to some requests.
SELECT request_id, served_output AS served, candidate_output AS candidate
FROM {pairs}
WHERE request_id IN ({drawn})
