"""The service ``limits``."""
