-- Requests that both models answered alone and timed, in the order of their time.
SELECT primary_latency_us AS primary_us, candidate_latency_us AS candidate_us, threads
FROM {pairs}
WHERE primary_latency_us IS NOT NULL AND candidate_latency_us IS NOT NULL
    AND primary_error IS NULL AND candidate_error IS NULL
ORDER BY ts, request_id
