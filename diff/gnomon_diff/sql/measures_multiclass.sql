-- The log loss of the probabilities, by day, for both models on the same pairs.
WITH labelled AS ({labelled}),

given AS (
    SELECT day, w, ps[list_position({classes}, truth)] AS p, cs[list_position({classes}, truth)] AS c
    FROM labelled
)

SELECT
    day,
    count(*) AS scored_n,
    sum(w)::DOUBLE AS scored,
    -- Kept off 0 as scikit-learn keeps it. Decimals add up to the same sum in any order.
    sum((w * -ln(greatest(p, 2.220446049250313e-16)))::DECIMAL(38, 14))::DOUBLE AS primary_log_loss,
    sum((w * -ln(greatest(c, 2.220446049250313e-16)))::DECIMAL(38, 14))::DOUBLE AS candidate_log_loss
FROM given
WHERE p BETWEEN 0 AND 1 AND c BETWEEN 0 AND 1
GROUP BY day
ORDER BY day
