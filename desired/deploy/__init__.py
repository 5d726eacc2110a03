"""From a project's file and a commit of its source to resources on hosts. Begin with `expand.py`."""
