-- The errors of the values, by day, for both models on the same pairs. Sums in one order are the same sums.
WITH labelled AS ({labelled}),

answer AS (
    SELECT day, request_id, w::DOUBLE AS w, value, p - value AS p_off, c - value AS c_off
    FROM labelled
    WHERE isfinite(value) AND isfinite(p) AND isfinite(c)
),

middle AS (SELECT sum(w * value ORDER BY request_id) / sum(w ORDER BY request_id) AS mean FROM answer)

SELECT
    day,
    count(*) AS scored_n,
    sum(w ORDER BY request_id) AS scored,
    sum(w * abs(p_off) ORDER BY request_id) AS primary_mae,
    sum(w * abs(c_off) ORDER BY request_id) AS candidate_mae,
    sum(w * p_off * p_off ORDER BY request_id) AS primary_mse,
    sum(w * c_off * c_off ORDER BY request_id) AS candidate_mse,
    sum(w * (value - mean) * (value - mean) ORDER BY request_id) AS spread
FROM answer CROSS JOIN middle
GROUP BY day
ORDER BY day
