"""Who hardly touches a constraint must not be stopped by it: bystanders leave the row, with what they use of it.

A row that counts everybody would stop the whole feeder when one service transformer is full, since each site moves its
voltage a little. What bystanders use is taken off the room: at what each could have alone at most, where that leaves
half the room (then another site never raises the others: it can only use more); else at the point of the row, which
the next turn looks at again.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from derms.grid.network import FloatArray

BYSTANDER = 0.02
"""A site counts as a bystander of a row below this part of the row's largest sensitivity."""
CAPS_MAY_USE, CROWD, ALL_MAY_USE = 0.5, 0.75, 0.9
"""Parts of a row's room: what bystanders may use to be counted at their caps, beyond what they have a row of their own,
and what that row gives them."""


def without_bystanders(
    floor: FloatArray, cap: FloatArray, rows: FloatArray, room: FloatArray, present: FloatArray | None, *, at_caps: bool
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Return rows without bystanders, their room, and of which of the given rows (r, s) each is.

    Bystanders are at their caps (`at_caps`) or at `present` watts (s,). Where they would use nearly all, that much is
    their own row, and the rest is that of the others.
    """
    origin = np.arange(len(rows))
    if not len(rows):
        return rows, room, origin
    cleared, left, theirs = rows.copy(), room.copy(), np.zeros(len(rows))
    alone = caps_alone(floor, cap, rows, room)
    here = alone if present is None else np.clip(present, floor, alone)
    _clear(cleared, left, floor, alone, here, at_caps, theirs)
    crowd = np.flatnonzero(theirs)
    if len(crowd):
        cleared = np.concatenate([cleared, rows[crowd] - cleared[crowd]])
        left, origin = np.concatenate([left, theirs[crowd]]), np.concatenate([origin, crowd])
    return cleared, left, origin


def caps_alone(floor: FloatArray, cap: FloatArray, rows: FloatArray, room: FloatArray) -> FloatArray:
    """Return what each site could have with the others at their floors, watts (s,): its cap or what a row leaves it."""
    return _caps_alone(floor, cap, np.ascontiguousarray(rows), room)


@njit(cache=True)
def _caps_alone(floor, cap, rows, room):  # type: ignore[no-untyped-def]
    alone = cap.copy()
    for r in range(rows.shape[0]):
        left = room[r]
        for i in range(rows.shape[1]):
            left -= rows[r, i] * floor[i]
        left = max(left, 0.0)
        for i in range(rows.shape[1]):
            if rows[r, i] * (alone[i] - floor[i]) > left:
                alone[i] = floor[i] + left / rows[r, i]
    return alone


@njit(cache=True)
def _clear(rows, room, floor, cap, present, at_caps, theirs):  # type: ignore[no-untyped-def]
    for r in range(rows.shape[0]):
        most, carried = 0.0, 0.0
        for i in range(rows.shape[1]):
            most = max(most, rows[r, i])
            carried += rows[r, i] * floor[i]
        at_cap, here, least = 0.0, 0.0, 0.0
        for i in range(rows.shape[1]):
            if rows[r, i] < BYSTANDER * most:
                at_cap += rows[r, i] * cap[i]
                here += rows[r, i] * present[i]
                least += rows[r, i] * floor[i]
        spare = max(room[r] - carried, 0.0)
        used = at_cap if at_caps and at_cap <= CAPS_MAY_USE * spare else here
        if used - least > CROWD * spare:
            theirs[r] = least + ALL_MAY_USE * spare
            used = min(used, theirs[r])
        for i in range(rows.shape[1]):
            if rows[r, i] < BYSTANDER * most:
                rows[r, i] = 0.0
        room[r] -= used
