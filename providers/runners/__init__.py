"""What runs from a release, one module per way of running it; `models.py` says what each needs to know."""
