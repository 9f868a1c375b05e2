-- Lines of the traffic that are no records, by reason; without those that a retry made a pair of this candidate.
SELECT reason, count(*) AS n
FROM dead_letters ANTI JOIN (SELECT * FROM all_pairs WHERE candidate_digest = {candidate})
    USING (source_name, source_partition, source_offset, source_line)
GROUP BY reason
ORDER BY reason
