"""The server: the OTLP port and the HTTP API, in one process."""
