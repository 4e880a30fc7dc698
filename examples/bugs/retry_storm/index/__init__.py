"""The service ``index``."""
