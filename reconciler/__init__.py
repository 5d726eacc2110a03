"""Cycle, plan, order, apply, verify and the command line: the room that knows all the others."""

__version__ = "0.1.0"
