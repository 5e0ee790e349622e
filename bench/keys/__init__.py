"""Every form in which a private key may come, and what becomes of each (docs/KEYS.md)."""
