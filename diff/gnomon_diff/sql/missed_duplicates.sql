-- Duplicates that the flag missed: they stand in another partition, or far behind.
SELECT coalesce(sum(n - 1), 0)::BIGINT AS missed
FROM (SELECT count(*) AS n FROM {pairs} GROUP BY request_id HAVING count(*) > 1)
