"""How operators see a running bridge, and tell it what to do."""
