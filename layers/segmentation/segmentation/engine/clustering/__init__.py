"""Customers in clusters: methods that find them, and what can be said of how good they are."""
