"""The story's report: one HTML file without any other, light and dark, for people."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from interconnection.charts import Series, cells, day_plot, duration_curve, heat_map

TITLES = {
    "unmanaged": "Unmanaged",
    "firm": "Firm limit only",
    "flexible": "Flexible",
    "link_cut": "Flexible, link cut 16:30-19:30",
    "link_cut_hold_last": "The same cut, site holds its last limit",
}
COLUMNS = (
    ("overload_minutes", "overload, min"),
    ("peak_percent", "peak, %"),
    ("vmin_pu", "lowest, pu"),
    ("vmax_pu", "highest, pu"),
    ("vehicles_late", "late"),
    ("kwh_short", "kWh short"),
    ("mwh_delivered", "MWh"),
    ("failsafe_minutes", "failsafe, min"),
)
CSS = (Path(__file__).parent / "report.css").read_text() + "".join(
    f".level-{level}{{fill-opacity:{0.06 + (10 - level) * 0.07:.2f}}}" for level in range(11)
)


def table(runs: dict[str, Any]) -> str:
    """Return the runs as a text table."""
    heads = ["run", *(head for _, head in COLUMNS), "DNP3", "SunSpec"]
    rows = [heads]
    for name, run in runs.items():
        wires = [str(run["messages"][wire]) for wire in ("dnp3", "sunspec")]
        rows.append([TITLES[name], *(f"{run[key]:g}" for key, _ in COLUMNS), *wires])
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    lines = []
    for first, *others in rows:
        figures = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *figures]))
    return "\n".join(lines)


def html(
    document: dict[str, Any], answer: dict[str, Any], claims: Sequence[tuple[str, bool]], samples: dict[str, Any]
) -> str:
    """Return the report."""
    study = document["study"]
    borne = [
        f'<li class="{"" if good else "bad"}">{"holds" if good else "DOES NOT HOLD"}: {escape(text)}</li>'
        for text, good in claims
    ]
    origin = (
        f"Feeder {answer['feeder']}, bus {answer['bus']}. Inputs {study['inputs_sha256'][:16]}, engine {study['engine']}."
    )
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Headroom: yes, if</title><style>{CSS}</style>",
        "<h1>Yes, if</h1>",
        f'<p class="card">{escape(headline(study, answer))}</p><p class="dim">{escape(origin)}</p>',
        "<h2>The peak day, five times</h2>",
        _html_table(document["runs"]),
        f"<h2>Safety claims</h2><ul>{''.join(borne)}</ul>",
        "<h2>Most loaded element, percent of its rating</h2>",
        _plots(samples, 1, "loading, %", ("unmanaged", "flexible", "link_cut_hold_last"), mark=100.0),
        "<h2>The depot's power and its limit, kW</h2>",
        _site_plot(samples["flexible"], "Flexible"),
        _site_plot(samples["link_cut"], "Flexible, link cut 16:30-19:30: the site falls to its failsafe by itself"),
        "<h2>The year: what is there, month by hour (the least of each)</h2>",
    ]
    for side in ("import", "export"):
        hourly = answer["hourly"]
        found = cells(hourly["hour"], hourly[f"{side}_kw"], hourly[f"{side}_criterion"])
        parts.append(f"<h3>{side.capitalize()}</h3>")
        parts.append(heat_map(found, answer[f"{side}_kw"], f"{side} limit by month and hour"))
        parts.append(duration_curve(hourly[f"{side}_kw"], answer[f"{side}_kw"], f"{side} limit duration curve, kW"))
    notes = [f"<li>{escape(text)}</li>" for text in answer["findings"]] or ["<li>Nothing to note on the model.</li>"]
    return "".join([*parts, "<h2>To know</h2><ul>", *notes, "</ul></html>"])


def headline(study: dict[str, Any], answer: dict[str, Any]) -> str:
    """Return the answer in one paragraph."""
    binding = study["binding_import"]
    return (
        f"Asked: {answer['import_kw']:,.0f} kW in, {answer['export_kw']:,.0f} kW out. "
        f"Firm: {study['firm_import_kw']:,.1f} kW in ({binding['criterion']} at {binding['element']}, hour "
        f"{binding['hour']}) and {study['firm_export_kw']:,.1f} kW out. "
        f"Flexible: up to {study['flexible_import_kw']:,.0f} kW in, limited in {study['limited_hours_import']} hours of "
        f"the year ({study['limited_energy_percent_import']:.1f} % of the energy), if the site obeys the limits that it "
        "is sent and falls to its firm limit when it hears nothing."
    )


def _html_table(runs: dict[str, Any]) -> str:
    heads = "".join(f"<th>{escape(head)}</th>" for _, head in COLUMNS)
    rows = []
    for name, run in runs.items():
        figures = [f"<td>{escape(TITLES[name])}</td>"]
        for key, _ in COLUMNS:
            bad = key in ("overload_minutes", "vehicles_late") and run[key] > 0
            figures.append(f'<td class="{"bad" if bad else ""}">{run[key]:g}</td>')
        figures += [f"<td>{run['messages'][wire]:,}</td>" for wire in ("dnp3", "sunspec")]
        rows.append(f"<tr>{''.join(figures)}</tr>")
    return f"<table><tr><th>run</th>{heads}<th>DNP3</th><th>SunSpec</th></tr>{''.join(rows)}</table>"


def _plots(samples: dict[str, Any], column: int, unit: str, names: Sequence[str], mark: float) -> str:
    styles = ("two", "one", "three")
    series = [
        Series(TITLES[name].split(",")[0], style, [(row[0], row[column]) for row in samples[name][::5]])
        for name, style in zip(names, styles, strict=True)
    ]
    return day_plot(series, "loading through the day", unit, mark=mark)


def _site_plot(rows: Sequence[Sequence[float]], title: str) -> str:
    limit = Series("import limit", "two", [(row[0], row[3]) for row in rows[::5]])
    power = Series("power", "one", [(row[0], row[2]) for row in rows[::5]])
    return f"<h3>{escape(title)}</h3>" + day_plot([limit, power], title, "kW")
