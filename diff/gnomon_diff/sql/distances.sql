-- How far apart the answers are: served against candidate (0), and each model against itself on the noise sample (1).
WITH value AS (
    SELECT 0 AS side, {column} AS d, {weight}::DECIMAL(38, 12) AS w
    FROM {pairs}
    WHERE disagrees IS NOT NULL AND isfinite({column})
    UNION ALL
    SELECT 1, unnest([primary_{column}, candidate_{column}]),
        ({weight} / greatest(noise_frac, 1e-9))::DECIMAL(38, 12)
    FROM {pairs}
    WHERE noise IS NOT NULL AND isfinite(primary_{column}) AND isfinite(candidate_{column})
),

different AS (SELECT side, d, count(*) AS n, sum(w) AS w FROM value GROUP BY side, d),

-- A quantile is the least value that at least so much of the weight does not pass.
ordered AS (
    SELECT
        *,
        sum(w) OVER (PARTITION BY side ORDER BY d) AS upto,
        sum(w) OVER (PARTITION BY side) AS whole
    FROM different
)

SELECT
    side,
    sum(n)::BIGINT AS n,
    sum(d * w::DOUBLE ORDER BY d) / any_value(whole)::DOUBLE AS mean,
    {quantiles} AS quantiles
FROM ordered
GROUP BY side
ORDER BY side
