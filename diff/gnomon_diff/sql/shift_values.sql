-- How often each value of every text and flag occurs in the earlier and in the later half of the whole days:
-- the {most} most frequent, the rest, and the ten most frequent that only one half has.
WITH counted AS (
    SELECT
        {which} AS which,
        {value} AS value,
        count(*) FILTER (NOT later) AS earlier_n,
        count(*) FILTER (later) AS later_n
    FROM (SELECT ts >= {middle} AS later, {keys} FROM {pairs} WHERE ts >= {start} AND ts < {end})
    GROUP BY GROUPING SETS ({sets})
),

ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY which, value IS NULL ORDER BY earlier_n + later_n DESC, value
        ) AS place,
        row_number() OVER (PARTITION BY which, value IS NULL, earlier_n > 0 ORDER BY later_n DESC, value) AS new_place,
        row_number() OVER (PARTITION BY which, value IS NULL, later_n > 0 ORDER BY earlier_n DESC, value) AS gone_place
    FROM counted
)

SELECT
    which,
    value,
    place,
    earlier_n,
    later_n,
    sum(earlier_n) OVER (PARTITION BY which)::BIGINT AS earlier_all,
    sum(later_n) OVER (PARTITION BY which)::BIGINT AS later_all,
    count(value) OVER (PARTITION BY which) AS distinct_values
FROM ranked
QUALIFY value IS NULL
    OR place <= {most}
    OR (earlier_n = 0 AND new_place <= 10)
    OR (later_n = 0 AND gone_place <= 10)
ORDER BY which, place, value
