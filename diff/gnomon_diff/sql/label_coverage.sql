-- How many pairs have their label, how many still wait for it, and how late labels come.
WITH request AS (
    SELECT
        labels.label IS NOT NULL OR labels.value IS NOT NULL AS known,
        NOT known AND coalesce(served_label = {never}, false) AS never,
        epoch_us(pair.ts) < {past_us} AS past_deadline,
        floor((epoch_us(pair.ts) - {start_us}) / 86400000000)::BIGINT AS day,
        CASE WHEN known THEN (epoch_us(labels.labelled_at) - epoch_us(pair.ts)) / 1e6 END AS delay_s
    FROM {pairs} AS pair LEFT JOIN labels USING (request_id)
)

SELECT
    count(*) AS n,
    count(*) FILTER (known) AS labelled,
    count(*) FILTER (never) AS never,
    count(*) FILTER (NOT known AND NOT never AND past_deadline) AS overdue,
    count(*) FILTER (NOT known AND NOT never AND NOT past_deadline) AS waiting,
    count(*) FILTER (known AND past_deadline) AS labelled_past_deadline,
    count(*) FILTER (day IN ({settled})) AS settled_n,
    count(*) FILTER (day IN ({settled}) AND known) AS settled_labelled,
    count(*) FILTER (delay_s >= 0) AS delay_n,
    count(*) FILTER (delay_s > {deadline_s}) AS after_deadline,
    count(*) FILTER (delay_s < 0) AS early,
    quantile_cont(delay_s, [0.1, 0.5, 0.9, 0.99]) FILTER (delay_s >= 0) AS delays
FROM request
