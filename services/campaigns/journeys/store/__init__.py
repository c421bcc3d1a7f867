"""Campaigns and journeys in PostgreSQL."""
