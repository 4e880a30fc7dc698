"""The service ``printer``."""
