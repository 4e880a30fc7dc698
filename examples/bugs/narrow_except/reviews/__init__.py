"""The service ``reviews``."""
