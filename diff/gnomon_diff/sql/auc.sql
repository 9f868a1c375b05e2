-- The area under the ROC curve of both models, on the same pairs: how many (positive, negative) pairs of requests the
-- scores put in order, ties half, doubled.
WITH labelled AS ({labelled}),

scorable AS (
    SELECT p, c, truth = {positive} AS y, w
    FROM labelled
    WHERE truth IS NOT NULL AND p BETWEEN 0 AND 1 AND c BETWEEN 0 AND 1
),

score AS (
    SELECT 'primary' AS side, p AS score, y, w FROM scorable
    UNION ALL
    SELECT 'candidate', c, y, w FROM scorable
),

level AS (
    SELECT
        side,
        score,
        coalesce(sum(w) FILTER (y), 0)::{number} AS positives,
        coalesce(sum(w) FILTER (NOT y), 0)::{number} AS negatives
    FROM score
    GROUP BY side, score
),

ranked AS (
    SELECT *, sum(negatives) OVER (PARTITION BY side ORDER BY score ROWS UNBOUNDED PRECEDING) AS upto
    FROM level
)

SELECT
    side,
    sum(positives ORDER BY score)::DOUBLE AS positives,
    sum(negatives ORDER BY score)::DOUBLE AS negatives,
    sum(positives * (2 * upto - negatives) ORDER BY score)::DOUBLE AS in_order_twice
FROM ranked
GROUP BY side
ORDER BY side
