"""The service ``ledger``."""
