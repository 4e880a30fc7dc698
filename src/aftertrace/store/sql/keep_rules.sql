-- Rules that keep requests (`aftertrace keep EXPR`): the newest row of an id holds; a removed one has until_ns 0.
CREATE TABLE IF NOT EXISTS keep_rules
(
    id String,
    version UInt64,
    expression String,
    made_ns UInt64,
    until_ns UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
