-- The candidates in the log, the one replayed last first.
SELECT
    candidate_digest AS digest,
    max(candidate_version) AS version,
    max(replayed_at) AS replayed_at
FROM pairs
GROUP BY candidate_digest
ORDER BY max(replayed_at) DESC, candidate_digest
