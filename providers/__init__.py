"""What each kind of resource is: spec, state, probe, parser, steps. Pure: no input or output, no clock. Start at `base.py`."""
