"""The service ``firmware``."""
