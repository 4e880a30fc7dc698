"""The service ``members``."""
