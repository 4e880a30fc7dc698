"""The service ``press``."""
