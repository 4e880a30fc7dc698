-- Why traces were kept: one row for each trigger seen in a process.
CREATE TABLE IF NOT EXISTS kept
(
    trace_id FixedString(16),
    trigger LowCardinality(String),
    process_uid FixedString(16),
    time_ns UInt64,
    reason String,
    service LowCardinality(String),
    attributes String,
    received DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(received)
ORDER BY (trace_id, trigger, process_uid, time_ns, reason)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
