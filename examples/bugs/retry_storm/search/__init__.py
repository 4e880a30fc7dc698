"""The service ``search``."""
