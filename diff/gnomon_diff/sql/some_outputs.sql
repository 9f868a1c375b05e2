-- Some answers of either side, for the paths that they have.
SELECT unnest([served_output, candidate_output]) AS output
FROM {pairs}
WHERE served_output IS NOT NULL AND candidate_output IS NOT NULL
ORDER BY request_id
LIMIT {most}
