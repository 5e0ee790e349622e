"""Experiments with known answers: whether the suite says what is so, and refuses what it must."""
