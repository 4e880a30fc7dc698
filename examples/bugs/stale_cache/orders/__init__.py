"""The service ``orders``."""
