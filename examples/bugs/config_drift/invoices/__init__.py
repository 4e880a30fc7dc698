"""The service ``invoices``."""
