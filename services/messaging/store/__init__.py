"""The gate's SQL."""
