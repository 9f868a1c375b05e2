-- How often each bin of every number occurs in the earlier and in the later half of the whole days.
SELECT ts >= {middle} AS later, count(*) AS n, [{missing}]::BIGINT[] AS missing, {histograms}
FROM {pairs}
WHERE ts >= {start} AND ts < {end}
GROUP BY ALL
