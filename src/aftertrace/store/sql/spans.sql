-- Spans as received, in the order in which a trace is opened. A span sent twice is one row; of two states the ended one stays.
-- attributes, events, links, resource: JSON that keeps types (wire/attributes.py). Times: ns since 1970.
CREATE TABLE IF NOT EXISTS spans
(
    trace_id FixedString(16),
    span_id FixedString(8),
    parent_id FixedString(8),
    name LowCardinality(String),
    kind UInt8,
    start_ns UInt64 CODEC(Delta, ZSTD(1)),
    end_ns UInt64 CODEC(Delta, ZSTD(1)),
    service LowCardinality(String),
    resource LowCardinality(String),
    status UInt8,
    status_message String CODEC(ZSTD(1)),
    attributes String CODEC(ZSTD(3)),
    events String CODEC(ZSTD(3)),
    links String CODEC(ZSTD(1)),
    scope LowCardinality(String),
    trace_state String CODEC(ZSTD(1)),
    flags UInt32 CODEC(ZSTD(1)),
    http_status UInt16,
    route LowCardinality(String),
    exception_type LowCardinality(String),
    received DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(end_ns)
PARTITION BY toDate(received)
ORDER BY (trace_id, span_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
