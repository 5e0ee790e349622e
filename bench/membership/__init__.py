"""Membership on real processes: ours beside kinship, in the same run, on the same machine."""
