"""The service ``devices``."""
