"""The service ``pages``."""
