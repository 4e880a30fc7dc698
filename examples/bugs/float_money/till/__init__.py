"""The service ``till``."""
