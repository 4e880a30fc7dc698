"""The service ``shop``."""
