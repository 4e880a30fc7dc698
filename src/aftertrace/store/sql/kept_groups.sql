-- What a kept mark says beside its trigger (docs/format.md): role, route, failure group, weight, whose neighbour; version of the service.
ALTER TABLE kept
    ADD COLUMN IF NOT EXISTS role LowCardinality(String) DEFAULT 'failure',
    ADD COLUMN IF NOT EXISTS route LowCardinality(String),
    ADD COLUMN IF NOT EXISTS group_id LowCardinality(String),
    ADD COLUMN IF NOT EXISTS title LowCardinality(String),
    ADD COLUMN IF NOT EXISTS weight Float64 DEFAULT 1,
    ADD COLUMN IF NOT EXISTS of_trace FixedString(16),
    ADD COLUMN IF NOT EXISTS version LowCardinality(String)
