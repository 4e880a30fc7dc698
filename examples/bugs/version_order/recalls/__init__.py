"""The service ``recalls``."""
