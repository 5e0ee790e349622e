"""Membership in simulation: which experiments are published, and their curves."""
