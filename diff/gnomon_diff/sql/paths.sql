-- Whether any answer has each of the declared paths.
SELECT [{found}]::BOOLEAN[] AS found, count(*) AS answers
FROM (
    SELECT served_output AS output FROM {pairs} WHERE served_output IS NOT NULL
    UNION ALL
    SELECT candidate_output FROM {pairs} WHERE candidate_output IS NOT NULL
)
