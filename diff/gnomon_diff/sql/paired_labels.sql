-- How often each answer of the candidate meets each answer that users got, on the same requests.
SELECT served_label AS "primary", candidate_label AS candidate, count(*) AS n
FROM {pairs}
WHERE served_error IS NULL AND candidate_error IS NULL AND served_label IS NOT NULL AND candidate_label IS NOT NULL
GROUP BY ALL
ORDER BY n DESC, served_label, candidate_label
