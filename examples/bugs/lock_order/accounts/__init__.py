"""The service ``accounts``."""
