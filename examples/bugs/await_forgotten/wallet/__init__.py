"""The service ``wallet``."""
