"""Limits: how often somebody may do something. docs/limits.md derives them; the store counts them."""
