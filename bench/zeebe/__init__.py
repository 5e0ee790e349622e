"""What a real Zeebe's messaging reaches, and what ztransport does, in one run on one machine."""
