"""What a store's settings may be. Pure."""
