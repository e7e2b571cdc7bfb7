"""Keep what binds an application as rows, when its study is done."""

from __future__ import annotations

from typing import Any

from interconnection.models import Constraint, Study

MOST_ROWS = 50
"""Of each side: the elements that bind in most hours."""


def store(study: Study, answer: dict[str, Any]) -> None:
    """Write one row for each element and criterion that limited the site in some hour."""
    if study.application is None:
        return
    rows: list[Constraint] = []
    hourly = answer["hourly"]
    for side in ("import", "export"):
        asked_w = round(answer[f"{side}_kw"] * 1000)
        found: dict[tuple[str, str], list[int]] = {}
        for hour, kw, criterion, element in zip(
            hourly["hour"], hourly[f"{side}_kw"], hourly[f"{side}_criterion"], hourly[f"{side}_element"], strict=True
        ):
            if not criterion:
                continue
            least_w = min(round(kw * 1000), asked_w)
            seen = found.setdefault((criterion, element), [least_w, 0, hour])
            seen[1] += 1
            if least_w < seen[0]:
                seen[0], seen[2] = least_w, hour
        most = sorted(found.items(), key=lambda item: (-item[1][1], item[0]))[:MOST_ROWS]
        rows += [
            Constraint(
                application=study.application, feeder=study.version.feeder, study=study, side=side, criterion=criterion,
                element=element, asked_w=asked_w, least_w=least_w, hours=hours, worst_hour=hour,
            )
            for (criterion, element), (least_w, hours, hour) in most
        ]  # fmt: skip
    Constraint.objects.filter(study=study).delete()
    Constraint.objects.bulk_create(rows)
