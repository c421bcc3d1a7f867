"""Pure: what records add to the facts, and what the figures mean."""
