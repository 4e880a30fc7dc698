"""Carts, prices and orders."""
