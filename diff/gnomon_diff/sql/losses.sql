-- Requests, and those that the candidate answered, by block of time and part of the traffic: by segment, by what was
-- served, by size, and by hour of the week in the experiment's time zone (within a day, not within the hour itself).
WITH request AS (
    SELECT
        floor((epoch_us(ts) - {start_us}) / {block_us})::BIGINT AS block,
        floor((epoch_us(ts) - {start_us}) / 86400000000)::BIGINT AS day,
        isodow(ts AT TIME ZONE {timezone}) * 100 + hour(ts AT TIME ZONE {timezone}) AS week_hour,
        candidate_error IS NULL AS kept,
        {keys}
    FROM {pairs}
)

SELECT
    CASE WHEN grouping(block) = 0 THEN block ELSE day END AS block,
    {which} AS which,
    CASE WHEN grouping(week_hour) = 0 THEN week_hour::VARCHAR ELSE coalesce({names}) END AS value,
    count(*) AS n,
    count(*) FILTER (kept) AS kept
FROM request
GROUP BY GROUPING SETS ((block), (day), (day, week_hour), {sets})
ORDER BY which, value NULLS FIRST, block
