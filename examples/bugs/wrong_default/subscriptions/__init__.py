"""The service ``subscriptions``."""
