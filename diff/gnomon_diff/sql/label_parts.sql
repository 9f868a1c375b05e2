-- Pairs past the deadline, some of them drawn by hash, with what they may be split by: does labelling depend on it?
WITH request AS (
    SELECT
        floor((epoch_us(pair.ts) - {start_us}) / 86400000000)::BIGINT AS day,
        labels.label IS NOT NULL OR labels.value IS NOT NULL AS known,
        served_label,
        candidate_label,
        CASE WHEN isfinite(served_score) THEN served_score END AS p,
        CASE WHEN isfinite(candidate_score) THEN candidate_score END AS c
        {keys}
    FROM {pairs} AS pair LEFT JOIN labels USING (request_id)
    WHERE epoch_us(pair.ts) < {past_us}
        AND (known OR NOT coalesce(served_label = {never}, false))
        -- Not by md5, which costs more than all else here.
        AND hash(pair.request_id) % {every} = 0
),

edges AS (
    SELECT
        list_distinct(quantile_disc(p, [0.2, 0.4, 0.6, 0.8])).list_sort() AS of_p,
        list_distinct(quantile_disc(c, [0.2, 0.4, 0.6, 0.8])).list_sort() AS of_c
    FROM request
)

SELECT
    request.* EXCLUDE (p, c),
    CASE WHEN p IS NOT NULL THEN len(list_filter(of_p, lambda edge: p >= edge)) END AS p_bin,
    CASE WHEN c IS NOT NULL THEN len(list_filter(of_c, lambda edge: c >= edge)) END AS c_bin,
    of_p,
    of_c
FROM request CROSS JOIN edges
