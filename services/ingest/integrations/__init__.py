"""Shops' own systems that send here: how they are connected, and the secrets that prove who calls."""
