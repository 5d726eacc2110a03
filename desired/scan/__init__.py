"""The search for secrets in plain text, before anything is shipped. Begin with `scanner.py`."""
