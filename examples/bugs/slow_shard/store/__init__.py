"""The service ``store``."""
