-- The scores of some requests, drawn by the hash of their ids.
SELECT served_score AS "primary", candidate_score AS candidate
FROM {pairs}
WHERE served_error IS NULL AND candidate_error IS NULL
    AND isfinite(served_score) AND isfinite(candidate_score)
    AND hash(request_id) / 18446744073709551616 < {frac}
ORDER BY request_id
