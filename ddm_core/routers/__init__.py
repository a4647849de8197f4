"""Routers: how likely is each expert, given the noisy state?"""
