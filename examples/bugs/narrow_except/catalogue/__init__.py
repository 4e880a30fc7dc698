"""The service ``catalogue``."""
