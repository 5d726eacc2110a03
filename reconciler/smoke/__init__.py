"""Smoke tests, asked by the controller through the connection. Begin with `ask.py`."""
