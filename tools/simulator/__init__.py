"""Shoppers with habits: a storefront's traffic with a known truth."""
