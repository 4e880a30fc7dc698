"""The service ``profiles``."""
