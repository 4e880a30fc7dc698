"""The service ``portal``."""
