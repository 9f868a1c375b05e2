-- How often each model would be right if a model's scores were true chances: of both by either's scores. No label enters.
WITH chance AS (
    SELECT
        {weight} AS w,
        {primary_by_primary} AS pp,
        {candidate_by_primary} AS cp,
        {primary_by_candidate} AS pc,
        {candidate_by_candidate} AS cc
    FROM {pairs}
    WHERE served_error IS NULL AND candidate_error IS NULL
        AND served_label IS NOT NULL AND candidate_label IS NOT NULL
)

SELECT
    count(*) AS n,
    sum(w)::DOUBLE AS weight,
    -- Decimals add up to the same sum in any order.
    sum((w * pp)::DECIMAL(38, 14))::DOUBLE AS primary_by_primary,
    sum((w * cp)::DECIMAL(38, 14))::DOUBLE AS candidate_by_primary,
    sum((w * pc)::DECIMAL(38, 14))::DOUBLE AS primary_by_candidate,
    sum((w * cc)::DECIMAL(38, 14))::DOUBLE AS candidate_by_candidate
FROM chance
WHERE pp BETWEEN 0 AND 1 AND cp BETWEEN 0 AND 1 AND pc BETWEEN 0 AND 1 AND cc BETWEEN 0 AND 1
