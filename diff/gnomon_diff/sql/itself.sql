-- Noise sample: where each model differs from itself, by path and kind; half for each of the two.
WITH sample AS (
    SELECT {weight} / greatest(noise_frac, 1e-9) AS w, primary_differences, candidate_differences
    FROM {pairs}
    WHERE noise IS NOT NULL
),

found AS (
    SELECT w, unnest(primary_differences) AS difference FROM sample
    UNION ALL
    SELECT w, unnest(candidate_differences) FROM sample
)

SELECT
    difference.path AS path,
    difference.kind AS kind,
    sum((w / 2)::DECIMAL(38, 12))::DOUBLE AS weight
FROM found
GROUP BY ALL
ORDER BY path, kind
