"""The kind `release`: a project's files on a host. Begin with `kind.py`."""
