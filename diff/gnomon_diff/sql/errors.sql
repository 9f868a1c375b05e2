-- Errors by side and kind, each with one message, and three requests that the hashes of their ids drew.
SELECT error.side, error.kind, count(*) AS n, count(*) FILTER (error.critical) AS critical,
    left(min(error.message), 500) AS example,
    arg_min(
        struct_pack(request_id := request_id, message := left(error.message, 500)), md5(request_id), 3
    ) AS examples
FROM (
    SELECT request_id, unnest([
        struct_pack(
            side := 'served', critical := false, message := served_message,
            kind := CASE WHEN NOT stand_in THEN served_error END
        ),
        struct_pack(side := 'primary', critical := false, message := primary_message, kind := primary_error),
        struct_pack(
            side := 'candidate', critical := candidate_critical, message := candidate_message,
            kind := candidate_error
        )
    ]) AS error
    FROM {pairs}
    WHERE served_error IS NOT NULL OR primary_error IS NOT NULL OR candidate_error IS NOT NULL
)
WHERE error.kind IS NOT NULL
GROUP BY ALL
ORDER BY error.side DESC, n DESC, error.kind
