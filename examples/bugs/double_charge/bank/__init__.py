"""The service ``bank``."""
