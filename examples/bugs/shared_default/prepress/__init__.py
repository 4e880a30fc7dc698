"""The service ``prepress``."""
