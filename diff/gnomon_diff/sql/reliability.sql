-- What scores promised and what came true, by day and ten equal bins of the score, of each model on the same pairs.
WITH labelled AS ({labelled}),

scorable AS (
    SELECT day, p, c, truth = {positive} AS y, w
    FROM labelled
    WHERE truth IS NOT NULL AND p BETWEEN 0 AND 1 AND c BETWEEN 0 AND 1
),

score AS (
    SELECT day, 'primary' AS side, p AS score, y, w FROM scorable
    UNION ALL
    SELECT day, 'candidate', c, y, w FROM scorable
),

-- A product is rounded, so that it may fall on the wrong side of an edge by one bin; the edges decide.
near AS (SELECT *, floor(score * 10) AS i FROM score)

SELECT
    day,
    side,
    least(i - (score < i / 10)::INTEGER + (score >= (i + 1) / 10)::INTEGER, 9)::INTEGER AS bin,
    count(*) AS n,
    count(*) FILTER (y) AS positives_n,
    sum(w)::DOUBLE AS weight,
    coalesce(sum(w) FILTER (y), 0)::DOUBLE AS positives,
    sum((w * score)::DECIMAL(38, 14))::DOUBLE AS promised
FROM near
GROUP BY ALL
ORDER BY ALL
