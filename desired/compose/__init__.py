"""Compose files, as far as a deployment has to know them. Begin with `read.py`."""
