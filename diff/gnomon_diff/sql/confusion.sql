-- Of each label: how often it was true, how often each model said it, and how often rightly.
WITH labelled AS ({labelled}),

answer AS (
    SELECT truth, served_label, candidate_label, sum(w) AS w, count(*) AS n
    FROM labelled
    WHERE truth IS NOT NULL AND served_label IS NOT NULL AND candidate_label IS NOT NULL
    GROUP BY ALL
),

said AS (
    SELECT truth AS label, w, n, 'truth' AS side FROM answer
    UNION ALL
    SELECT served_label, w, n, 'primary' FROM answer
    UNION ALL
    SELECT candidate_label, w, n, 'candidate' FROM answer
    UNION ALL
    SELECT truth, w, n, 'primary_right' FROM answer WHERE served_label = truth
    UNION ALL
    SELECT truth, w, n, 'candidate_right' FROM answer WHERE candidate_label = truth
)

SELECT
    label,
    coalesce(sum(n) FILTER (side = 'truth'), 0)::BIGINT AS n,
    coalesce(sum(w) FILTER (side = 'truth'), 0)::DOUBLE AS truth,
    coalesce(sum(w) FILTER (side = 'primary'), 0)::DOUBLE AS "primary",
    coalesce(sum(w) FILTER (side = 'candidate'), 0)::DOUBLE AS candidate,
    coalesce(sum(w) FILTER (side = 'primary_right'), 0)::DOUBLE AS primary_right,
    coalesce(sum(w) FILTER (side = 'candidate_right'), 0)::DOUBLE AS candidate_right
FROM said
GROUP BY label
ORDER BY label
