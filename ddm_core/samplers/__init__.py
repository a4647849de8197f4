"""Samplers: pure steps from time t to an earlier time s."""
