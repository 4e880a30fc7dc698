"""The service ``newsletter``."""
