"""Churn from labels that the shop supplies: a logistic model, and how good its probabilities are."""
