-- The nine inner edges of ten bins with equal counts, of every number, in the earlier half of the whole days.
SELECT [{edges}] AS edges
FROM {pairs}
WHERE ts >= {start} AND ts < {middle}
