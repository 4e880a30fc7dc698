"""Requests that overlapped at the same row, key or object."""
