"""The service ``billing``."""
