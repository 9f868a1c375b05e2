-- Both scores of each request in the ten equal-count bins of the score that users got.
SELECT {primary_bin} AS "primary", {candidate_bin} AS candidate, count(*) AS n
FROM (SELECT served_score AS p, candidate_score AS c FROM {pairs}
      WHERE served_error IS NULL AND candidate_error IS NULL
          AND served_score BETWEEN 0 AND 1 AND candidate_score BETWEEN 0 AND 1)
GROUP BY ALL
ORDER BY ALL
