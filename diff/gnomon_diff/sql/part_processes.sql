-- Where the numbers of each capturing process are, from its first to its last in the window.
WITH ends AS (
    SELECT origin_process AS process, min(origin_seq) AS first_seq, max(origin_seq) AS last_seq
    FROM all_pairs
    WHERE {inside} AND origin_process IS NOT NULL AND origin_seq IS NOT NULL
    GROUP BY origin_process
),

placed AS (
    SELECT process, seq, min(place) AS place, min(reason) AS reason  -- a record in several places counts in the first
    FROM (
        SELECT origin_process AS process, origin_seq AS seq, 1 AS place, NULL AS reason
        FROM all_pairs WHERE {inside}
        UNION ALL
        SELECT origin_process, origin_seq, 2, reason FROM dead_letters
        UNION ALL
        SELECT
            process,
            unnest(range(greatest(removed_from_seq, first_seq), least(removed_to_seq, last_seq) + 1)),
            3,
            NULL
        FROM ledger JOIN ends USING (process)
        WHERE removed_from_seq <= last_seq AND removed_to_seq >= first_seq
        UNION ALL
        SELECT process, seq, 4, NULL FROM {pending}
        UNION ALL
        SELECT origin_process, origin_seq, 5, NULL FROM all_pairs WHERE candidate_digest = {candidate}
        UNION ALL
        SELECT process, seq, 5, NULL FROM {outside}
    ) JOIN ends USING (process)
    WHERE seq BETWEEN first_seq AND last_seq
    GROUP BY process, seq
)

SELECT
    process,
    first_seq,
    last_seq,
    count(*) FILTER (place = 1) AS in_pairs,
    count(*) FILTER (place = 2) AS in_dead_letters,
    count(*) FILTER (place = 3) AS removed,
    count(*) FILTER (place = 4) AS pending,
    count(*) FILTER (place = 5) AS outside,
    count(*) AS placed,
    list(reason ORDER BY reason) FILTER (place = 2) AS reasons
FROM placed JOIN ends USING (process)
GROUP BY process, first_seq, last_seq
ORDER BY process
