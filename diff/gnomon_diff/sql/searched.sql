-- What slices are searched on: requests of even whole days whose key falls into one half, or a share of them.
-- A request without a key is its own. The other half of the keys, on odd days, is left for the test.
SELECT whole_day AS day, disagrees, {codes}
FROM (
    SELECT *, floor((epoch_us(ts) - {start_us}) / 86400000000)::BIGINT AS whole_day
    FROM {pairs}
    WHERE disagrees IS NOT NULL
) AS pair
WHERE whole_day IN ({days}) AND {searched} AND {drawn}
ORDER BY request_id
