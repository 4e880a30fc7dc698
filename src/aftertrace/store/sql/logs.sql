-- Plain log records. digest is of the content, and of how often the same content came before in its batch: a batch sent twice is one.
CREATE TABLE IF NOT EXISTS logs
(
    trace_id FixedString(16),
    time_ns UInt64 CODEC(Delta, ZSTD(1)),
    digest FixedString(16),
    span_id FixedString(8),
    severity UInt8,
    service LowCardinality(String),
    resource LowCardinality(String),
    body String CODEC(ZSTD(3)),
    event_name LowCardinality(String),
    attributes String CODEC(ZSTD(3)),
    scope LowCardinality(String),
    received DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(received)
ORDER BY (trace_id, time_ns, digest)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
