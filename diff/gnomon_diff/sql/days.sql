-- The sums of each 24 hours from the first full hour, over all traffic (segment -1) and by segment.
WITH request AS (
    SELECT
        floor((epoch_us(pair.ts) - {start_us}) / 86400000000)::BIGINT AS day,
        {keys}
        {weight} AS w,
        disagrees,
        noise,
        skew,
        -- Of a stand-in, whose answer is the primary's own, there is no skew. Only rows that `flags` can count.
        CASE WHEN disagrees IS NOT NULL THEN noise + coalesce(skew, 0) END AS f,
        -- One over the probability with which a row was mirrored and drawn for noise; NULL off the sample.
        CASE WHEN noise IS NOT NULL THEN {weight} / greatest(noise_frac, 1e-9) END AS drawn,
        candidate_critical,
        candidate_error IS NOT NULL AS candidate_failed,
        served_error IS NOT NULL AS primary_failed,
        candidate_error IS NULL AND candidate_label = labels.label AS candidate_right,
        served_error IS NULL AND served_label = labels.label AS primary_right,
        -- A failed side is wrong, an answer without a label is none; where both failed there is nothing to compare.
        labels.label IS NOT NULL
        AND (candidate_label IS NOT NULL OR candidate_error IS NOT NULL)
        AND (served_label IS NOT NULL OR served_error IS NOT NULL)
        AND NOT (candidate_error IS NOT NULL AND served_error IS NOT NULL) AS labelled
    FROM {pairs} AS pair LEFT JOIN labels USING (request_id)
),

-- Few rows: so that every segment costs next to nothing. Decimals add up to the same sum in any order.
fine AS (
    SELECT
        day,
        {names}
        count(disagrees) AS n,
        count(*) FILTER (disagrees) AS flips,
        count(noise) AS noise_n,
        sum(noise) AS noise,
        count(skew) AS skew_n,
        sum(skew) AS skew,
        sum(w) AS pairs,
        sum(w) FILTER (disagrees IS NOT NULL) AS rows,
        sum(w) FILTER (disagrees) AS flags,
        sum(w) FILTER (f IS NOT NULL) AS noise_rows,
        sum((w * f)::DECIMAL(38, 12)) AS noise_sum,
        sum((drawn * f)::DECIMAL(38, 12)) AS noise_total,
        sum(drawn::DECIMAL(38, 12)) AS noise_base,
        sum((drawn * noise)::DECIMAL(38, 12)) FILTER (f IS NOT NULL) AS noise_estimate,
        sum(drawn::DECIMAL(38, 12)) FILTER (skew IS NOT NULL) AS skew_base,
        sum((drawn * skew)::DECIMAL(38, 12)) AS skew_estimate,
        sum(w) FILTER (candidate_failed) AS candidate_errors,
        sum(w) FILTER (primary_failed) AS primary_errors,
        count(*) FILTER (candidate_critical) AS critical_errors,
        sum(w) FILTER (labelled) AS labelled,
        sum(w) FILTER (labelled AND primary_right) AS primary_right,
        sum(w) FILTER (labelled AND candidate_right) AS candidate_right
    FROM request
    GROUP BY ALL
)

SELECT
    day,
    {segment} AS segment,
    {value} AS value,
    {sums}
FROM fine
GROUP BY GROUPING SETS ({sets})
ORDER BY segment, value NULLS FIRST, day
