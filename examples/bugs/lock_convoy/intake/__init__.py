"""The service ``intake``."""
