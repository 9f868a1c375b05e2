-- What there is of this candidate: pairs, their time, who answered, and how many values each segment has.
SELECT
    count(*) AS pairs,
    count(DISTINCT request_id) AS requests,
    count(*) FILTER (candidate_error IS NULL) AS predicted,
    min(ts) AS first_ts,
    max(ts) AS last_ts,
    min(weight) AS least_weight,
    max(weight) AS most_weight,
    list_sort(list(DISTINCT primary_digest) FILTER (primary_digest IS NOT NULL)) AS primary_digests,
    max(schema_version) AS newest_schema,
    count(served_latency_us) AS served_timed,
    quantile_disc(served_latency_us, 0.95) AS served_p95_us,
    quantile_disc(served_latency_us, [0.5, 0.9, 0.95, 0.99]) AS served_us,
    [{distinct}]::BIGINT[] AS distinct_values
FROM {pairs}
