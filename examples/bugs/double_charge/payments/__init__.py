"""The service ``payments``."""
