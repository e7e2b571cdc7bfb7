"""Pictures as SVG text: the same numbers go to the page, to the letter, and to the table beside them. Pure."""

from interconnection.charts.curves import bars, curtailment_curve, duration_curve
from interconnection.charts.day_plot import Series, day_plot
from interconnection.charts.heat_map import Cell, cells, heat_map, rows
from interconnection.charts.profile import voltage_profile
from interconnection.charts.svg import MONTHS

__all__ = [
    "MONTHS", "Cell", "Series", "bars", "cells", "curtailment_curve", "day_plot", "duration_curve", "heat_map", "rows",
    "voltage_profile",
]  # fmt: skip
