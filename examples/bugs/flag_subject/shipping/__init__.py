"""The service ``shipping``."""
