"""Measurements of the control room's servers, against named peers in the same run."""
