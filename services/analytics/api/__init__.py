"""The read API: figures, stores, carts, and the stream of changes."""
