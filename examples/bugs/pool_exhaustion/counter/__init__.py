"""The service ``counter``."""
