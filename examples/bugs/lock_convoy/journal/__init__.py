"""The service ``journal``."""
