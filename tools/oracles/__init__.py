"""Counters and references that share no code with what they check."""
