-- Rows of this candidate in the part, duplicates included.
SELECT
    count(*) AS rows,
    count(*) FILTER (duplicate) AS flagged,
    count(*) FILTER (origin_seq IS NULL) AS unnumbered,
    (SELECT count(*) FROM pairs WHERE candidate_digest = {candidate}) AS pairs_of_all
FROM all_pairs
WHERE {inside}
