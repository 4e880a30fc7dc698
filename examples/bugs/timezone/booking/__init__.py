"""The service ``booking``."""
