"""Carts on their way through campaigns."""
