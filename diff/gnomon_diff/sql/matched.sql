-- How many different requests were loaded, and how many of them are in the pairs.
SELECT
    count(*) AS requests,
    count(*) FILTER (request_id IN (SELECT request_id FROM pairs)) AS matched
FROM (SELECT DISTINCT request_id FROM loaded)
