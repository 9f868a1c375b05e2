-- How many requests have two scores, and the deciles of what users got.
SELECT count(*) AS n, quantile_disc(served_score, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) AS deciles
FROM {pairs}
WHERE served_error IS NULL AND candidate_error IS NULL
    AND isfinite(served_score) AND isfinite(candidate_score)
