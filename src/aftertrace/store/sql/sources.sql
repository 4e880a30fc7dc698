-- Source files by the hash of their bytes; content is zstd.
CREATE TABLE IF NOT EXISTS sources
(
    sha256 FixedString(32),
    path String,
    content String CODEC(NONE),
    received DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY sha256
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
