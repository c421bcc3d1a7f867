"""What a message says: Liquid templates, rendered within limits."""
