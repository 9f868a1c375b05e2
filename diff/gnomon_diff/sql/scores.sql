-- The candidate's score minus the one that users got, on the same request, both within 0 to 1.
WITH score AS (
    SELECT served_score AS p, candidate_score AS c
    FROM {pairs}
    WHERE served_error IS NULL AND candidate_error IS NULL
),

ranged AS (
    SELECT
        c,
        CASE WHEN p BETWEEN 0 AND 1 AND c BETWEEN 0 AND 1 THEN p END AS inside,
        CASE WHEN inside IS NOT NULL THEN c - p END AS d
    FROM score
)

SELECT
    count(inside) AS n,
    count(*) FILTER (c IS NOT NULL AND NOT c BETWEEN 0 AND 1) AS out_of_range,
    -- Decimals add up to the same sum in any order.
    sum(d::DECIMAL(18, 15))::DOUBLE AS sum_delta,
    sum(abs(d)::DECIMAL(18, 15))::DOUBLE AS sum_abs_delta,
    quantile_cont(d, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]) AS delta_quantiles,
    quantile_cont(inside, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) AS primary_deciles
FROM ranged
