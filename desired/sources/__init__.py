"""Projects' git repositories: fetched into a cache on the controller, and read from there. Begin with `resolve.py`."""
