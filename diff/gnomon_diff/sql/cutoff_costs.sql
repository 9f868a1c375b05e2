-- Both scores of each labelled pair in 50 equal bins over 0 to 1, and whether the positive label came true.
WITH labelled AS ({labelled}),

near AS (
    SELECT p, c, truth = {positive} AS y, w, floor(p * 50) AS i, floor(c * 50) AS j
    FROM labelled
    WHERE truth IS NOT NULL AND p BETWEEN 0 AND 1 AND c BETWEEN 0 AND 1
)

SELECT
    -- A product is rounded, so that it may fall on the wrong side of an edge by one bin; the edges decide.
    least(i - (p < i / 50)::INTEGER + (p >= (i + 1) / 50)::INTEGER, 49)::INTEGER AS "primary",
    least(j - (c < j / 50)::INTEGER + (c >= (j + 1) / 50)::INTEGER, 49)::INTEGER AS candidate,
    y,
    count(*) AS n,
    sum(w)::DOUBLE AS weight
FROM near
GROUP BY ALL
ORDER BY ALL
