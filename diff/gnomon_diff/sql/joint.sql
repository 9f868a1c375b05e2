-- Both scores of each request in 50 equal bins over 0 to 1, and their difference in 100 over -1 to 1.
WITH score AS (
    SELECT served_score AS p, candidate_score AS c, candidate_score - served_score AS d
    FROM {pairs}
    WHERE served_error IS NULL AND candidate_error IS NULL
        AND served_score BETWEEN 0 AND 1 AND candidate_score BETWEEN 0 AND 1
),

-- A product is rounded, so that it may fall on the wrong side of an edge by one bin; the edges decide.
near AS (SELECT p, c, d, floor(p * 50) AS i, floor(c * 50) AS j, floor(d * 50) AS k FROM score)

SELECT
    least(i - (p < i / 50)::INTEGER + (p >= (i + 1) / 50)::INTEGER, 49)::INTEGER AS "primary",
    least(j - (c < j / 50)::INTEGER + (c >= (j + 1) / 50)::INTEGER, 49)::INTEGER AS candidate,
    least(k - (d < k / 50)::INTEGER + (d >= (k + 1) / 50)::INTEGER, 49)::INTEGER AS delta,
    count(*) AS n
FROM near
GROUP BY ALL
ORDER BY ALL
