"""Recency, frequency, monetary value: scores from cut points, and names for the cells of their grid."""
