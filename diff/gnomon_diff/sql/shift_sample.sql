-- Some requests of each side, drawn by the hash of their ids, with the day that each lies on.
SELECT ts >= {middle} AS later, {block} AS block, {columns}
FROM {pairs}
WHERE ts >= {start} AND ts < {end}
    AND hash(request_id) / 18446744073709551616 < CASE WHEN ts >= {middle} THEN {later_frac} ELSE {earlier_frac} END
ORDER BY later, block, request_id
