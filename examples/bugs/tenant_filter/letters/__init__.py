"""The service ``letters``."""
