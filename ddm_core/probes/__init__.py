"""Probes: one measurement per step each."""
