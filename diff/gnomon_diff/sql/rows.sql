-- Rows of this candidate, duplicates included, and how far each place has been read. A wrong clock puts a
-- record into 1970 or 2099: only dates with a fair share of the busiest date's traffic say where reading stands.
WITH busy AS (
    SELECT day
    FROM all_pairs
    WHERE candidate_digest = {candidate}
    GROUP BY day
    QUALIFY count(*) >= {busy_frac} * max(count(*)) OVER ()
)

SELECT
    source_name || '/' || source_partition AS "place",
    count(*) AS rows,
    count(*) FILTER (duplicate) AS flagged,
    count(*) FILTER (origin_seq IS NULL) AS unnumbered,
    min(ts) FILTER (busy.day IS NOT NULL) AS oldest,
    max(ts) FILTER (busy.day IS NOT NULL) AS newest
FROM all_pairs LEFT JOIN busy USING (day)
WHERE candidate_digest = {candidate}
GROUP BY source_name, source_partition
ORDER BY source_name, source_partition
