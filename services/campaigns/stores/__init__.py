"""Stores, their settings and keys."""
