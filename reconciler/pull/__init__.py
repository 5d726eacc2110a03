"""`reconcile pull`: edits made on a host become a commit. Begin with `pulling.py`."""
