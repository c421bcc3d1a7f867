"""What the gateway decides, without I/O, clock or broker."""
