"""The service ``dispatch``."""
