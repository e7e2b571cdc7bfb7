"""The manual's table of clauses says what is so: each row is done by tests that exist, or exempt with a reason."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "templates" / "docs" / "ieee2030-5.md"


def test_each_row_of_the_clause_table_names_a_real_test() -> None:
    known = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        known |= set(re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.M))
    table = PAGE.read_text().partition("## Clauses and tests")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")][
        2:
    ]
    assert len(rows) > 30
    for clause, rule, tests, state in rows:
        named = re.findall(r"`(test_\w+)`", tests)
        if state == "done":
            assert named, (clause, rule)
            assert set(named) <= known, set(named) - known
        else:
            assert re.fullmatch(r"exempt: .{10,}", state) and not named, (clause, state)
