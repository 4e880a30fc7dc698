"""The service ``checkout``."""
