"""The service ``audit``."""
