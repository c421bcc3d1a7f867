"""Profiles as a fold. Pure."""
