"""The service ``stock``."""
