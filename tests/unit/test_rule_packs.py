"""Rule packs: a fault names file and key, unverified numbers say so, two packs are compared by key."""

from __future__ import annotations

import pytest
import yaml

from derms.errors import InputError, NotFound
from interconnection import rule_packs

GOOD = (rule_packs.SHIPPED / "us-sgip-like.yaml").read_text()


def changed(path: list[object], value: object) -> str:
    raw = yaml.safe_load(GOOD)
    place = raw
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return yaml.safe_dump(raw)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (["version"], "two", "x.yaml: version"),
        (["screens", 1, "threshold"], "fifteen", "x.yaml: screens.1.threshold"),
        (["screens", 1, "measure"], "astrology", "x.yaml: screens.1.measure"),
        (["screens", 1, "id"], "certified", "x.yaml: screens.1.id"),
        (["screens", 1, "parameters"], {"colour": 1}, "x.yaml: screens.1.parameters.colour"),
        (["screens", 1, "citation"], "", "x.yaml: screens.1.citation"),
        (["screens", 1, "treshold"], 15, "x.yaml: screens.1"),
        (["completeness", "required"], ["address", "horoscope"], "x.yaml: completeness.required.1"),
        (["completeness", "documents"], ["novel"], "x.yaml: completeness.documents.0"),
        (["clocks", 0, "starts"], "full moon", "x.yaml: clocks.0"),
        (["clocks", 0, "days"], 0, "x.yaml: clocks.0.days"),
        (["calendar"], {"country": "us"}, "x.yaml: calendar.country"),
    ],
)
def test_a_fault_names_file_and_key(path: list[object], value: object, where: str) -> None:
    with pytest.raises(InputError) as error:
        rule_packs.parse(changed(path, value), "x.yaml")
    assert error.value.where == where


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "name: a\nname: b\n", "!!python/object/apply:os.system ['true']"])
def test_what_is_no_pack_is_refused_and_runs_nothing(text: str) -> None:
    with pytest.raises(InputError, match=r"x\.yaml"):
        rule_packs.parse(text, "x.yaml")


def test_a_key_that_stands_twice_is_not_silently_the_last_one() -> None:
    with pytest.raises(InputError, match="stands twice"):
        rule_packs.parse(GOOD + "\nversion: 3\n", "x.yaml")


def test_every_shipped_pack_is_whole_and_says_what_nobody_has_read() -> None:
    assert rule_packs.names() == ["au-like", "gb-like", "us-california-like", "us-sgip-like"]
    for name in rule_packs.names():
        found = rule_packs.pack(name)
        assert {"export", "import"} <= {item.side for item in found.screens}
        assert found.unverified()
        assert all(item.citation for item in (*found.screens, *found.clocks) if item.verified)
    with pytest.raises(NotFound):
        rule_packs.pack("../../etc/passwd")


def test_two_packs_are_compared_by_key(tmp_path: object) -> None:
    found = {item.field: (item.before, item.after) for item in rule_packs.compare("us-sgip-like", "gb-like")}
    assert found["screens.interrupting.threshold"] == (87.5, 95)
    assert found["screens.low-voltage.threshold"] == (0.95, 0.94)
    assert found["calendar.country"] == ("US", "GB")
    assert "screens.transformer.threshold" not in found
    assert rule_packs.compare("gb-like", "gb-like") == []


def test_an_own_folder_goes_first(tmp_path: object) -> None:
    from pathlib import Path

    own = Path(str(tmp_path))
    (own / "us-sgip-like.yaml").write_text(changed(["screens", 1, "threshold"], 20))
    found = rule_packs.pack("us-sgip-like", (own, rule_packs.SHIPPED))
    assert next(item.threshold for item in found.screens if item.id == "peak-15") == 20
