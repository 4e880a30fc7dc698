"""The service ``slots``."""
