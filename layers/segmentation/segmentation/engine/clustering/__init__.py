"""Clusters of customers: how they are found, judged and described."""
