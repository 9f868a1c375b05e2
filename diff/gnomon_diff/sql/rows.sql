-- Rows of this candidate, duplicates included, and how far each partition has been read.
SELECT
    source_partition AS "partition",
    count(*) AS rows,
    count(*) FILTER (duplicate) AS flagged,
    count(*) FILTER (origin_seq IS NULL) AS unnumbered,
    max(ts) AS newest
FROM all_pairs
WHERE candidate_digest = {candidate}
GROUP BY source_partition
ORDER BY source_partition
