-- Who was right, where the label is known. A failed side is wrong; where both failed there is nothing to compare.
WITH request AS (
    SELECT
        labels.label AS truth,
        candidate_error IS NULL AND candidate_label = labels.label AS candidate_right,
        served_error IS NULL AND served_label = labels.label AS primary_right,
        labels.label IS NOT NULL
        AND (candidate_label IS NOT NULL OR candidate_error IS NOT NULL)
        AND (served_label IS NOT NULL OR served_error IS NOT NULL)
        AND NOT (candidate_error IS NOT NULL AND served_error IS NOT NULL) AS labelled,
        candidate_error IS NULL AND served_error IS NULL
        AND candidate_score BETWEEN 0 AND 1 AND served_score BETWEEN 0 AND 1 AS in_range,
        served_score AS p,
        candidate_score AS c
    FROM {pairs} AS pair LEFT JOIN labels USING (request_id)
),

scored AS (
    SELECT
        *,
        CASE WHEN labelled AND in_range THEN (truth = {positive})::INTEGER END AS y,
        -- The chance that was given to what came true, kept off 0 as scikit-learn keeps it.
        greatest(CASE y WHEN 1 THEN p WHEN 0 THEN 1 - p END, 2.220446049250313e-16) AS p_given,
        greatest(CASE y WHEN 1 THEN c WHEN 0 THEN 1 - c END, 2.220446049250313e-16) AS c_given
    FROM request
)

SELECT
    count(*) AS n,
    count(*) FILTER (labelled) AS labelled,
    count(*) FILTER (labelled AND primary_right AND candidate_right) AS both,
    count(*) FILTER (labelled AND primary_right AND candidate_right IS NOT TRUE) AS only_primary,
    count(*) FILTER (labelled AND candidate_right AND primary_right IS NOT TRUE) AS only_candidate,
    count(*) FILTER (labelled AND candidate_right IS NOT TRUE AND primary_right IS NOT TRUE) AS neither,
    count(y) AS scored,
    -- Decimals add up to the same sum in any order.
    sum(CASE WHEN y IS NOT NULL THEN -ln(p_given) END::DECIMAL(18, 15))::DOUBLE AS log_loss_primary,
    sum(CASE WHEN y IS NOT NULL THEN -ln(c_given) END::DECIMAL(18, 15))::DOUBLE AS log_loss_candidate,
    sum(CASE WHEN y IS NOT NULL THEN (p - y) * (p - y) END::DECIMAL(18, 15))::DOUBLE AS brier_primary,
    sum(CASE WHEN y IS NOT NULL THEN (c - y) * (c - y) END::DECIMAL(18, 15))::DOUBLE AS brier_candidate,
    (SELECT max(loaded_at) FROM labels) AS last_load
FROM scored
