"""The service ``tickets``."""
