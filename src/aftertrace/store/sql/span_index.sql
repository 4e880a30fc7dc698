-- What is searched of spans, ordered by service, name and time; fed by span_index_feed.
CREATE TABLE IF NOT EXISTS span_index
(
    service LowCardinality(String),
    name LowCardinality(String),
    start_ns UInt64 CODEC(Delta, ZSTD(1)),
    trace_id FixedString(16),
    span_id FixedString(8),
    end_ns UInt64 CODEC(Delta, ZSTD(1)),
    status UInt8,
    http_status UInt16,
    route LowCardinality(String),
    exception_type LowCardinality(String),
    received DateTime CODEC(Delta, ZSTD(1)),
    INDEX by_span span_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(end_ns)
PARTITION BY toDate(received)
ORDER BY (service, name, start_ns, trace_id, span_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
