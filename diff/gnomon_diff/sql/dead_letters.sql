-- Lines of the traffic that are no records, by reason.
SELECT reason, count(*) AS n FROM dead_letters GROUP BY reason ORDER BY reason
