"""The service ``pricing``."""
