-- Pairs by hour of the week (Monday is 1) in the experiment's time zone.
SELECT isodow(local) AS weekday, hour(local) AS hour, count(*) AS n
FROM (SELECT ts AT TIME ZONE {timezone} AS local FROM {pairs})
GROUP BY weekday, hour
ORDER BY weekday, hour
