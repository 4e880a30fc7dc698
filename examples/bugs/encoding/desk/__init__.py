"""The service ``desk``."""
