-- How often each decile of what users got meets each of the candidate, in scores on the same requests.
SELECT {primary_bin} AS "primary", {candidate_bin} AS candidate, count(*) AS n
FROM (SELECT served_score AS p, candidate_score AS c FROM {pairs}
      WHERE served_error IS NULL AND candidate_error IS NULL
          AND isfinite(served_score) AND isfinite(candidate_score))
GROUP BY ALL
ORDER BY ALL
