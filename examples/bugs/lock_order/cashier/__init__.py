"""The service ``cashier``."""
