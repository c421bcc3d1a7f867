"""One module a source: its payload in, canonical records out, pure."""
