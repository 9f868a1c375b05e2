-- What precision, recall, costs and the losses of the scores are made of, by day, for both models on the same pairs.
WITH labelled AS ({labelled}),

answer AS (
    SELECT
        day,
        w,
        truth = {positive} AS y,
        -- Of no answer there is neither.
        CASE WHEN served_label IS NOT NULL AND candidate_label IS NOT NULL THEN served_label = {positive} END AS p_acts,
        CASE WHEN p_acts IS NOT NULL THEN candidate_label = {positive} END AS c_acts,
        p BETWEEN 0 AND 1 AND c BETWEEN 0 AND 1 AS scored,
        -- The chance that was given to what came true, kept off 0 as scikit-learn keeps it.
        CASE WHEN scored THEN greatest(CASE WHEN y THEN p ELSE 1 - p END, 2.220446049250313e-16) END AS p_given,
        CASE WHEN scored THEN greatest(CASE WHEN y THEN c ELSE 1 - c END, 2.220446049250313e-16) END AS c_given
    FROM labelled
    WHERE truth IS NOT NULL
)

SELECT
    day,
    count(p_acts) AS answered_n,
    count(*) FILTER (scored) AS scored_n,
    coalesce(sum(w) FILTER (p_acts IS NOT NULL), 0)::DOUBLE AS answered,
    coalesce(sum(w) FILTER (p_acts IS NOT NULL AND y), 0)::DOUBLE AS positives,
    coalesce(sum(w) FILTER (p_acts AND y), 0)::DOUBLE AS primary_hits,
    coalesce(sum(w) FILTER (c_acts AND y), 0)::DOUBLE AS candidate_hits,
    coalesce(sum(w) FILTER (p_acts AND NOT y), 0)::DOUBLE AS primary_false,
    coalesce(sum(w) FILTER (c_acts AND NOT y), 0)::DOUBLE AS candidate_false,
    coalesce(sum(w) FILTER (scored), 0)::DOUBLE AS scored,
    -- Decimals add up to the same sum in any order.
    coalesce(sum((w * -ln(p_given))::DECIMAL(38, 14)), 0)::DOUBLE AS primary_log_loss,
    coalesce(sum((w * -ln(c_given))::DECIMAL(38, 14)), 0)::DOUBLE AS candidate_log_loss,
    coalesce(sum((w * (1 - p_given) ** 2)::DECIMAL(38, 14)), 0)::DOUBLE AS primary_brier,
    coalesce(sum((w * (1 - c_given) ** 2)::DECIMAL(38, 14)), 0)::DOUBLE AS candidate_brier
FROM answer
GROUP BY day
ORDER BY day
