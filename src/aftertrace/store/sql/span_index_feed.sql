CREATE MATERIALIZED VIEW IF NOT EXISTS span_index_feed TO span_index AS
SELECT service, name, start_ns, trace_id, span_id, end_ns, status, http_status, route, exception_type, received
FROM spans
