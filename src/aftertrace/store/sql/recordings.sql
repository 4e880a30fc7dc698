-- Pieces of recordings (docs/format.md, "On the wire"); content is part of a zstd stream and is not compressed again.
CREATE TABLE IF NOT EXISTS recordings
(
    trace_id FixedString(16),
    recording_id FixedString(16),
    piece UInt32,
    pieces UInt32,
    process_uid FixedString(16),
    service LowCardinality(String),
    content String CODEC(NONE),
    received DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(received)
ORDER BY (trace_id, recording_id, piece)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
