"""Hostile OpenDSS text → allow-listed model → text again.

OpenDSS text is native code: several properties load a shared library, several commands read and write anywhere, and
every deny-list that was tried has been bypassed. So an uploaded model never reaches the engine. It is parsed by an
allow-list (commands, classes, properties with their full names), and what is understood is emitted afresh, in one file
without includes, which alone is compiled, in a confined child (`derms.sandbox`).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from derms.errors import InputError, ModelRefused
from derms.grid.dss_classes import LEFT_OUT, OPTIONS, OPTIONS_IGNORED, PROPERTIES, REFUSED, REPORTS
from derms.grid.dss_grammar import Line, Place, Source, Token, numbers, plain, tokens

MOST_ELEMENTS = 200_000
FILE_VALUE = re.compile(r"(?i)^\s*file\s*=\s*([^,\s]+)\s*(.*)$")
SHAPE_SERIES = frozenset("mult pmult qmult hour mean temp".split())


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a reader of the model must know: a code, how bad, where, a sentence, how often."""

    code: str
    severity: str
    where: str
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class FeederText:
    """An accepted model: self-contained text, its hash, and what was found on the way."""

    name: str
    text: str
    findings: tuple[Finding, ...]
    elements: dict[str, int]

    @property
    def sha256(self) -> str:
        """Return the hash of the emitted text: the model's identity."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_model(master: Path, root: Path | None = None) -> FeederText:
    """Read a master file with its includes below `root` (its own folder by default).

    Raises ModelRefused with file:line, the reason and the remedy; reads nothing outside the root, writes nothing.
    """
    if not master.is_file():
        raise InputError(f"there is no file {master.name!r}", where="path", remedy="Give the OpenDSS master file.")
    reader = _Reader(Source(root or master.parent))
    try:
        reader.file(master.resolve(), 0, None)
    except RecursionError:
        raise ModelRefused("the model is nested too deeply", where=master.name) from None
    return reader.result(master.name)


@dataclass
class _Reader:
    source: Source
    out: list[str] = field(default_factory=list)
    coordinates: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    first_left_out: dict[str, str] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)
    known: dict[str, list[str]] = field(default_factory=dict)
    name: str = ""
    current: tuple[str, str] | None = None
    position: int = 0
    skipping: bool = False
    open_files: list[Path] = field(default_factory=list)

    def file(self, path: Path, depth: int, place: Place | None) -> None:
        """Read one file; a cycle of includes is refused."""
        if path in self.open_files:
            raise ModelRefused("files include each other in a circle", where=str(place))
        self.open_files.append(path)
        for line in self.source.lines(path, depth, place):
            self._line(line, path, depth)
        self.open_files.pop()

    def result(self, master: str) -> FeederText:
        if not self.name:
            raise ModelRefused("the model defines no circuit", where=f"{master}:1", remedy="Start with 'New Circuit.NAME'.")
        findings = [
            Finding(
                "left-out",
                "info" if kind.startswith(("set ", "command ")) else "notice",
                self.first_left_out[kind],
                f"{kind} left out",
                number,
            )
            for kind, number in sorted(self.left_out.items())
        ]
        text = "\n".join(["clear", *self.out, *self.coordinates]) + "\n"
        return FeederText(self.name, text, tuple(findings), dict(sorted(self.count.items())))

    # -- commands -----------------------------------------------------------------------------------------------

    def _line(self, line: Line, path: Path, depth: int) -> None:
        if line.text.startswith("~"):
            line = Line(line.place, "more " + line.text[1:])
        parts = tokens(line)
        if not parts:
            return
        head = parts[0]
        command = head.value.lower() if not head.name else ""
        if head.name and self._continues(head):
            self._properties(parts, line.place)
            return
        if head.name and head.name.count(".") >= 2:
            self._dotted(head, parts[1:], line, path)
            return
        handler = _COMMANDS.get(command)
        if handler is None:
            self._ignored_or_refused(command or head.name, line)
            return
        handler(self, parts[1:], line, path, depth)

    def _dotted(self, head: Token, rest: list[Token], line: Line, path: Path) -> None:
        """`Class.Name.property=value` is an edit of one property."""
        full, _, name = head.name.rpartition(".")
        parts = [Token("", full, False), Token(name, head.value, head.quoted), *rest]
        self._edit(parts, line, path, 0)

    def _continues(self, head: Token) -> bool:
        """A line that begins with a property of the element before it goes on with that element."""
        return self.current is not None and "." not in head.name

    def _ignored_or_refused(self, command: str, line: Line) -> None:
        if command in _IGNORED:
            self._leave_out(f"command {command}", line.place)
            return
        raise ModelRefused(
            f"the command {command[:40]!r} is not accepted",
            where=str(line.place),
            remedy="A model may define and edit elements, include files of its folder, and set voltage bases.",
        )

    def _new(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        kind, name = self._element_name(parts, line.place)
        self.skipping = kind in LEFT_OUT
        if self.skipping:
            self._leave_out(kind, line.place)
            self.current = None
            return
        if kind == "circuit":
            if self.name:
                raise ModelRefused("the model defines two circuits", where=str(line.place), remedy="Keep one.")
            self.name, kind = name, "vsource"
            self.out.append(f'new "circuit.{name}"')
            self._begin(("vsource", "source"), parts[1:], line, path)
            return
        if kind not in PROPERTIES:
            raise ModelRefused(
                f"elements of class {kind[:40]!r} are not accepted",
                where=str(line.place),
                remedy=f"Accepted: {', '.join(PROPERTIES)}.",
            )
        self.count[kind] += 1
        if sum(self.count.values()) > MOST_ELEMENTS:
            raise ModelRefused(f"the model has more than {MOST_ELEMENTS} elements", where=str(line.place))
        self.known.setdefault(kind, []).append(name)
        self.out.append(f'new "{kind}.{name}"')
        self._begin((kind, name), parts[1:], line, path)

    def _edit(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        kind, name = self._element_name(parts, line.place)
        self.skipping = kind in LEFT_OUT
        if self.skipping:
            return
        if kind not in PROPERTIES:
            raise ModelRefused(f"elements of class {kind[:40]!r} are not accepted", where=str(line.place))
        self.out.append(f'edit "{kind}.{name}"')
        self._begin((kind, name), parts[1:], line, path)

    def _more(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        if self.skipping:
            return
        if self.current is None:
            raise ModelRefused("there is no element to go on with", where=str(line.place))
        self._properties(parts, line.place, path)

    def _batchedit(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        """`batchedit class..* …` becomes one edit an element; other patterns are refused."""
        match = re.fullmatch(r"(?i)([a-z]+)\.\.\*", parts[0].value) if parts else None
        kind = match.group(1).lower() if match else ""
        if kind not in PROPERTIES:
            raise ModelRefused("this batchedit is not accepted", where=str(line.place), remedy="Write 'Class..*'.")
        for name in self.known.get(kind, []):
            self.out.append(f'edit "{kind}.{name}"')
            self._begin((kind, name), parts[1:], line, path)

    def _begin(self, element: tuple[str, str], parts: list[Token], line: Line, path: Path) -> None:
        self.current, self.position = element, 0
        self._properties(parts, line.place, path)

    def _include(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        if not parts:
            raise ModelRefused("no file is named", where=str(line.place))
        self.file(self.source.find(parts[0].value, path, line.place), depth + 1, line.place)

    def _buscoords(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        target = self.source.find(parts[0].value if parts else "", path, line.place)
        for number, raw in enumerate(self.source.read(target, line.place).splitlines(), start=1):
            words = [word for word in re.split(r"[\s,\t]+", raw.strip().strip('"')) if word]
            place = Place(target.name, number)
            if len(words) < 3 or words[0].startswith(("!", "//")):
                continue
            try:
                x, y = numbers(f"{words[1]} {words[2]}", place)
            except ModelRefused:
                self._leave_out("coordinates that are no numbers", place)
                continue
            self.coordinates.append(f'setbusxy bus="{plain(words[0], place)}" x={x!r} y={y!r}')

    def _set(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        for token in parts:
            option = token.name
            if option in OPTIONS or any(known.startswith(option) for known in OPTIONS if len(option) > 6):
                full = option if option in OPTIONS else next(known for known in OPTIONS if known.startswith(option))
                values = numbers(token.value, line.place) if full != "earthmodel" else [plain(token.value, line.place)]
                self.out.append(f"set {full}=({' '.join(_show(value) for value in values)})")
            elif option in OPTIONS_IGNORED or (not option and token.value.lower() in OPTIONS_IGNORED):
                self._leave_out(f"set {option or token.value.lower()}", line.place)
            else:
                raise ModelRefused(f"the option {(option or token.value)[:40]!r} is not accepted", where=str(line.place))

    def _setkvbase(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        out = []
        for token, default in zip(parts, ("bus", "kvll", "kvln"), strict=False):
            name = token.name or default
            if name not in ("bus", "kvll", "kvln"):
                raise ModelRefused(f"{name!r} is not a part of setkvbase", where=str(line.place))
            value = plain(token.value, line.place) if name == "bus" else _show(numbers(token.value, line.place)[0])
            out.append(f'{name}="{value}"')
        self.out.append("setkvbase " + " ".join(out))

    def _calculate_bases(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        self.out.append("calcvoltagebases")

    def _switch(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        verb = tokens(line)[0].value.lower()
        if not parts:
            raise ModelRefused(f"{verb} what?", where=str(line.place))
        kind, name = self._element_name(parts, line.place)
        if kind in LEFT_OUT:
            return
        ends = [str(int(numbers(token.value, line.place)[0])) for token in parts[1:3]]
        self.out.append(f'{verb} "{kind}.{name}" {" ".join(ends)}'.rstrip())

    # -- elements and properties --------------------------------------------------------------------------------

    def _element_name(self, parts: list[Token], place: Place) -> tuple[str, str]:
        if not parts:
            raise ModelRefused("no element is named", where=str(place))
        full = parts[0].value
        if parts[0].name not in ("", "object"):
            raise ModelRefused("the element's name must come first", where=str(place))
        kind, dot, name = full.partition(".")
        if not dot or not name.strip():
            raise ModelRefused(f"{full[:40]!r} is not a class and a name", where=str(place), remedy="Class.Name")
        return kind.strip().lower(), plain(name.strip(), place).lower()

    def _properties(self, parts: list[Token], place: Place, path: Path | None = None) -> None:
        if self.current is None:
            raise ModelRefused("there is no element to go on with", where=str(place))
        kind = self.current[0]
        order = PROPERTIES[kind]
        shown = []
        for token in parts:
            name = self._full_name(kind, order, token, place)
            self.position = order.index(name) + 1
            if name in REFUSED:
                raise ModelRefused(
                    f"the property {name!r} may load code or open files", where=str(place), remedy="Take it out."
                )
            if name in REPORTS:
                self._leave_out(f"property {name}", place)
                continue
            shown.append(self._property(kind, name, token, place, path))
        if shown:
            self.out[-1] += " " + " ".join(item for item in shown if item)

    def _full_name(self, kind: str, order: tuple[str, ...], token: Token, place: Place) -> str:
        if not token.name:
            if self.position >= len(order):
                raise ModelRefused(f"{token.value[:40]!r} stands at no property", where=str(place))
            return order[self.position]
        if token.name in order:
            return token.name
        matching = [name for name in order if name.startswith(token.name)]
        if not matching:
            raise ModelRefused(
                f"class {kind} has no property {token.name[:40]!r}",
                where=str(place),
                remedy="A misspelt property would be lost: mend it.",
            )
        return matching[0]

    def _property(self, kind: str, name: str, token: Token, place: Place, path: Path | None) -> str:
        if name in ("csvfile",) or (name in SHAPE_SERIES and FILE_VALUE.match(token.value)):
            if kind not in ("loadshape", "growthshape", "tshape") or path is None:
                raise ModelRefused(f"the property {name!r} may open files", where=str(place), remedy="Write the numbers.")
            return self._series("mult" if name == "csvfile" else name, token, place, path)
        value = plain(token.value, place)
        if kind == "loadshape" and name in SHAPE_SERIES:
            return f"{name}=({' '.join(_show(number) for number in numbers(value, place))})"
        if name == "npts" and numbers(value, place)[0] > 1_000_000:
            raise ModelRefused("a load shape has more than a million points", where=str(place))
        if NUMBER.fullmatch(value):
            # EPRI's engine does not read a capacitor's quoted phases="1": it stays at three.
            return f"{name}={value}"
        return f'{name}="{value}"' if value and not re.search(r"[\s,|]", value) else f"{name}=({value})"

    def _series(self, name: str, token: Token, place: Place, path: Path) -> str:
        """Read a load shape's numbers ourselves and emit them."""
        match = FILE_VALUE.match(token.value)
        file_name, rest = (match.group(1), match.group(2)) if match else (token.value, "")
        target = self.source.find(file_name.strip("\"'"), path, place)
        column = re.search(r"(?i)col(?:umn)?\s*=\s*(\d+)", rest)
        header = re.search(r"(?i)header\s*=\s*(y|t|1)", rest)
        values = []
        for number, raw in enumerate(self.source.read(target, place).splitlines(), start=1):
            if (header and number == 1) or not raw.strip():
                continue
            words = [word for word in re.split(r"[\s,]+", raw.strip()) if word]
            index = int(column.group(1)) - 1 if column else 0
            if index >= len(words):
                raise ModelRefused(f"there is no column {index + 1}", where=f"{target.name}:{number}")
            values += numbers(words[index], Place(target.name, number))
        return f"{name}=({' '.join(_show(value) for value in values)})"

    def _leave_out(self, kind: str, place: Place) -> None:
        self.left_out[kind] += 1
        self.first_left_out.setdefault(kind, str(place))

    def _clear(self, parts: list[Token], line: Line, path: Path, depth: int) -> None:
        if self.name:
            raise ModelRefused("'clear' after the circuit was defined would throw it away", where=str(line.place))


NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")


def _show(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"


_IGNORED = frozenset(
    "solve show plot summary sample interpolate closedi visualize disable formedit obfuscate reset totals "
    "export_ allocateloads".split()
)
_COMMANDS: dict[str, Callable[[_Reader, list[Token], Line, Path, int], None]] = {
    "new": _Reader._new,
    "edit": _Reader._edit,
    "more": _Reader._more,
    "m": _Reader._more,
    "batchedit": _Reader._batchedit,
    "redirect": _Reader._include,
    "compile": _Reader._include,
    "buscoords": _Reader._buscoords,
    "set": _Reader._set,
    "setkvbase": _Reader._setkvbase,
    "calcvoltagebases": _Reader._calculate_bases,
    "calcv": _Reader._calculate_bases,
    "open": _Reader._switch,
    "close": _Reader._switch,
    "clear": _Reader._clear,
}
