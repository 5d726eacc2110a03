"""Secrets of the fleet: how they are named, opened and closed. Begin with `vault.py`."""
