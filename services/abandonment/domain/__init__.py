"""Abandonment detection, pure: a cart's state and a fact or a time in, state and effects out."""
