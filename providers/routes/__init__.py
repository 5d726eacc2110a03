"""The kind `route`: which slot has the traffic. Begin with `kind.py`."""
