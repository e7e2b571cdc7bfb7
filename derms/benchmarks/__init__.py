"""Measurements against named peers, in one process and one run: never an assertion about time."""
