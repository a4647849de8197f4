"""Strategies: how probabilities become weights."""
