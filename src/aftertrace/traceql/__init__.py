"""The query language: TraceQL's core, extended to recorded code (docs/query.md). `parse` reads it, `tree` is what it
means; the store compiles what it says of spans to SQL, `explain.find` judges it on recordings."""
