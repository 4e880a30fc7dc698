"""The service ``papers``."""
