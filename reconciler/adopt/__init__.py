"""`reconcile adopt`: a folder that is already there becomes a project's. Begin with `adopting.py`."""
