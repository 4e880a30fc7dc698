"""The service ``routing``."""
