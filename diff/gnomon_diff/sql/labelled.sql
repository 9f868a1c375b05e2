-- The pairs whose truth is known and on which both models answered: every measure of correctness is made of these.
SELECT
    floor((epoch_us(pair.ts) - {start_us}) / 86400000000)::BIGINT AS day,
    {weight} AS w,
    labels.label AS truth,
    served_label,
    candidate_label,
    served_score AS p,
    candidate_score AS c
    {more}
FROM {pairs} AS pair INNER JOIN labels USING (request_id)
WHERE served_error IS NULL AND candidate_error IS NULL
