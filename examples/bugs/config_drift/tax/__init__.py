"""The service ``tax``."""
