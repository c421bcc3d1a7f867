"""Commands of `trolleybus` that belong to the library."""
