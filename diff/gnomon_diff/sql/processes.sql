-- Where the numbered records of each capturing process are, beside what its last ledger counted.
WITH placed AS (
    SELECT process, seq, min(place) AS place  -- a record that is in several places counts in the first
    FROM (
        SELECT origin_process AS process, origin_seq AS seq, 1 AS place
        FROM all_pairs WHERE candidate_digest = {candidate}
        UNION ALL
        SELECT origin_process, origin_seq, 2 FROM dead_letters
        UNION ALL
        SELECT process, unnest(range(removed_from_seq, removed_to_seq + 1)), 3 FROM ledger
        UNION ALL
        SELECT process, seq, 4 FROM {pending}
        UNION ALL
        SELECT process, seq, 5 FROM {outside}
    )
    WHERE process IS NOT NULL AND seq IS NOT NULL
    GROUP BY process, seq
),

last_ledger AS (
    SELECT process, upto_seq, seen, mirrored, not_selected, dropped, closed
    FROM ledger
    WHERE upto_seq IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY process ORDER BY upto_seq DESC, seen DESC, closed DESC, ts DESC) = 1
),

-- The candidate's first number of each process; what a window left out lies before it.
inside AS (
    SELECT process, min(seq) AS begin_seq
    FROM placed
    WHERE place IN (1, 4)
    GROUP BY process
),

counted AS (
    SELECT
        process,
        count(*) FILTER (place = 1) AS in_pairs,
        count(*) FILTER (place = 2) AS in_dead_letters,
        count(*) FILTER (place = 3) AS removed,
        count(*) FILTER (place = 4) AS pending,
        count(*) FILTER (place = 5) AS edge,
        count(*) FILTER (seq < begin_seq) AS before_begin,
        count(*) FILTER (seq <= upto_seq) AS upto_ledger,
        count(*) FILTER (seq > upto_seq) AS after_ledger,
        count(*) AS placed,
        min(seq) AS first_seq,
        max(seq) AS last_seq,
        any_value(begin_seq) AS begin_seq
    FROM placed LEFT JOIN last_ledger USING (process) LEFT JOIN inside USING (process)
    WHERE place <> 5 OR begin_seq IS NULL OR seq >= begin_seq  -- all before the first inside is outside anyway
    GROUP BY process
)

SELECT * FROM last_ledger FULL JOIN counted USING (process) ORDER BY process
