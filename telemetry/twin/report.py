"""The story's report: one HTML file without any other, light and dark, for people."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
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
    ("overload_minutes", "overload, min"), ("peak_percent", "peak, %"), ("vmin_pu", "lowest, pu"), ("vmax_pu", "highest, pu"),
    ("vehicles_late", "late"), ("kwh_short", "kWh short"), ("mwh_delivered", "MWh"), ("failsafe_minutes", "failsafe, min"),
)  # fmt: skip
CSS = """
:root{color-scheme:light dark;--bg:#f4f4f2;--fg:#1d1f21;--dim:#6b6f73;--line:#c9ccce;--bad:#b3261e;--a:#2f4a63;--b:#8a9199}
@media(prefers-color-scheme:dark){:root{--bg:#1b1d1f;--fg:#e4e5e6;--dim:#9a9fa3;--line:#45494c;--bad:#ff8a80;--a:#9cc0e0;--b:#7d858c}}
body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;max-width:980px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:.3rem .6rem;text-align:right;
border-bottom:1px solid var(--line)}th:first-child,td:first-child{text-align:left}.bad{color:var(--bad);font-weight:600}
.dim{color:var(--dim)}.card{font-size:1.15rem}svg.chart{max-width:100%;height:auto;margin:.5rem 0}svg text{fill:var(--dim);font-size:11px}
.grid{stroke:var(--line);stroke-width:.6}.mark{stroke:var(--bad);stroke-dasharray:5 4}.line{fill:none;stroke:var(--a);stroke-width:1.8}
.line.two{stroke:var(--b);stroke-dasharray:4 3}.line.three{stroke:var(--bad);stroke-width:1.2}.cell{fill:var(--a);stroke:none}
.by-thermal{stroke:var(--fg);stroke-width:1.4}.by-voltage{stroke:var(--fg);stroke-width:1.4;stroke-dasharray:3 2}
.by-reverse_power{stroke:var(--fg);stroke-dasharray:1 2}
""" + "".join(f".level-{level}{{fill-opacity:{0.06 + level * 0.07:.2f}}}" for level in range(11))


def table(runs: dict[str, Any]) -> str:
    """Return the runs as a text table."""
    heads = ["run", *(head for _, head in COLUMNS), "DNP3", "SunSpec"]
    rows = [
        [
            TITLES[name],
            *(f"{run[key]:g}" for key, _ in COLUMNS),
            str(run["messages"]["dnp3"]),
            str(run["messages"]["sunspec"]),
        ]
        for name, run in runs.items()
    ]
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    lines = [
        "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in [heads, *rows]
    ]
    return "\n".join(lines)


def html(
    document: dict[str, Any], answer: dict[str, Any], claims: Sequence[tuple[str, bool]], samples: dict[str, Any]
) -> str:
    """Return the report."""
    study = document["study"]
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Headroom: yes, if</title><style>{CSS}</style>",
        "<h1>Yes, if</h1>",
        f'<p class="card">{escape(headline(study, answer))}</p>',
        f'<p class="dim">Feeder {escape(answer["feeder"])}, bus {escape(answer["bus"])}. Inputs {study["inputs_sha256"][:16]}, '
        f"engine {escape(study['engine'])}.</p>",
        "<h2>The peak day, five times</h2>",
        _html_table(document["runs"]),
        "<h2>Safety claims</h2><ul>",
        *(
            f'<li class="{"" if good else "bad"}">{"holds" if good else "DOES NOT HOLD"}: {escape(text)}</li>'
            for text, good in claims
        ),
        "</ul><h2>Most loaded element, percent of its rating</h2>",
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
    parts.append("<h2>To know</h2><ul>")
    parts += [f"<li>{escape(text)}</li>" for text in answer["findings"]] or ["<li>Nothing to note on the model.</li>"]
    parts.append("</ul></html>")
    return "".join(parts)


def headline(study: dict[str, Any], answer: dict[str, Any]) -> str:
    """Return the answer in one sentence."""
    binding = study["binding_import"]
    return (
        f"Asked: {answer['import_kw']:,.0f} kW in, {answer['export_kw']:,.0f} kW out. Firm: {study['firm_import_kw']:,.1f} kW in "
        f"({binding['criterion']} at {binding['element']}, hour {binding['hour']}) and {study['firm_export_kw']:,.1f} kW out. "
        f"Flexible: up to {study['flexible_import_kw']:,.0f} kW in, limited in {study['limited_hours_import']} hours of the year "
        f"({study['limited_energy_percent_import']:.1f} % of the energy), if the site obeys the limits it is sent and falls to "
        "its firm limit when it hears nothing."
    )


def _html_table(runs: dict[str, Any]) -> str:
    heads = "".join(f"<th>{escape(head)}</th>" for _, head in COLUMNS)
    rows = []
    for name, run in runs.items():
        figures = "".join(
            f'<td class="{"bad" if key in ("overload_minutes", "vehicles_late") and run[key] > 0 else ""}">{run[key]:g}</td>'
            for key, _ in COLUMNS
        )
        wires = f"<td>{run['messages']['dnp3']:,}</td><td>{run['messages']['sunspec']:,}</td>"
        rows.append(f"<tr><td>{escape(TITLES[name])}</td>{figures}{wires}</tr>")
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
