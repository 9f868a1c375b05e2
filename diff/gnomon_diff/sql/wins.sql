-- Of the disagreements whose label is known, who was right; by day.
WITH labelled AS ({labelled})

SELECT
    day,
    count(*) AS n,
    count(*) FILTER (candidate_label = truth) AS candidate,
    count(*) FILTER (served_label = truth) AS "primary",
    sum(w)::DOUBLE AS weight,
    coalesce(sum(w) FILTER (candidate_label = truth), 0)::DOUBLE AS candidate_weight
FROM labelled
WHERE truth IS NOT NULL AND served_label <> candidate_label
GROUP BY day
ORDER BY day
