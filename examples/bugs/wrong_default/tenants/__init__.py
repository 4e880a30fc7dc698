"""The service ``tenants``."""
