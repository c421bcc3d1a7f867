"""Operators' sessions."""
