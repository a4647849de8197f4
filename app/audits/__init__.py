"""Audits at hand: their files, read without trust, and the report made of one."""
