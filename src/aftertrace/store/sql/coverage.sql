-- What agents had of each kept trace, as JSON (wire/bundle.py, Coverage); the newest row of a trace holds.
CREATE TABLE IF NOT EXISTS coverage
(
    trace_id FixedString(16),
    version UInt64,
    data String CODEC(ZSTD(3)),
    received DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(received)
ORDER BY trace_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
