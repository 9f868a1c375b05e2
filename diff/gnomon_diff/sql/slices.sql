-- The sums of each slice that was proposed, by day: of all its requests, and of those left for the test.
WITH request AS (
    SELECT
        floor((epoch_us(pair.ts) - {start_us}) / 86400000000)::BIGINT AS day,
        {test_key} AS tested,
        {weight} AS w,
        disagrees,
        noise,
        CASE WHEN disagrees IS NOT NULL THEN noise + coalesce(skew, 0) END AS f,
        noise_frac,
        {slices}
    FROM {pairs} AS pair
    WHERE disagrees IS NOT NULL
)

SELECT
    day,
    slice.number AS slice,
    tested,
    count(*) AS n,
    count(*) FILTER (disagrees) AS flips,
    count(noise) AS noise_n,
    coalesce(sum(noise), 0) AS noise,
    sum(w)::DOUBLE AS rows,
    coalesce(sum(w) FILTER (disagrees), 0)::DOUBLE AS flags,
    -- Decimals add up to the same sum in any order.
    coalesce(sum((w * f / greatest(noise_frac, 1e-9))::DECIMAL(38, 12)), 0)::DOUBLE AS noise_total
FROM request
CROSS JOIN (SELECT unnest(range({most})) AS number) AS slice
WHERE [{flags}][slice.number + 1]
GROUP BY ALL
ORDER BY ALL
