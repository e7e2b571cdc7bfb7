"""The grammar of OpenDSS text, read from hostile files: lines, comments, tokens, quotes and includes.

Pure but for reading files below one root. Nothing here knows what a property means (see `dss_text`).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from derms.errors import ModelRefused

MOST_BYTES = 64 * 1024 * 1024
MOST_LINES = 2_000_000
MOST_LINE_BYTES = 4 * 1024 * 1024
MOST_DEPTH = 20
QUOTES = {'"': '"', "'": "'", "(": ")", "[": "]", "{": "}"}
# What a name or value may be made of once its quotes are off: no quote of any kind, no @ (variables), no backslash.
PLAIN = re.compile(r"^[A-Za-z0-9_.\-+#&:%/*~$ \t,|<>?^;!=]*$")
BINARY = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa", b"PK\x03\x04", b"!<arch>", b"\xca\xfe\xba\xbe")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands: file below the root, line number from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Token:
    """One parameter: its name ("" when positional), its value without quotes, and whether it was quoted."""

    name: str
    value: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One command line, comments gone."""

    place: Place
    text: str


class Source:
    """Reads files below `root`, bounded in bytes, lines and depth; refuses links out of it and binaries."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve(strict=True)
        self._bytes = 0
        self._lines = 0

    def find(self, name: str, beside: Path, place: Place) -> Path:
        """Return the file that a line names, looked for beside the naming file; letters' case does not matter."""
        if not name or "\x00" in name:
            raise ModelRefused("no file is named", where=str(place))
        relative = name.replace("\\", "/")
        if relative.startswith(("/", "~")) or re.match(r"^[A-Za-z]:", relative):
            raise ModelRefused(
                "a file outside the model's folder is named", where=str(place), remedy="Name it relative to this file."
            )
        path = beside.parent
        for part in relative.split("/"):
            path = path if part in ("", ".") else path.parent if part == ".." else _any_case(path, part)
        resolved = path.resolve()
        if not resolved.is_relative_to(self.root):
            raise ModelRefused(
                "a file outside the model's folder is named",
                where=str(place),
                remedy="Upload one folder that holds the master file and everything it includes.",
            )
        if not resolved.is_file():
            raise ModelRefused(f"the file {name!r} is not there", where=str(place), remedy="Add it to the folder.")
        return resolved

    def read(self, path: Path, place: Place | None = None) -> str:
        """Return a file's text; raises ModelRefused when it is too big or no text."""
        where = str(place) if place else path.name
        size = path.stat().st_size
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise ModelRefused(f"the model is larger than {MOST_BYTES} bytes", where=where)
        # A converter in use at utilities leaves a NUL at some line ends; anywhere else it marks a binary.
        data = re.sub(rb"\x00+(?=\r?\n|$)", b"", path.read_bytes())
        if data.startswith(BINARY) or b"\x00" in data:
            line = data[: max(data.find(b"\x00"), 0)].count(b"\n") + 1
            raise ModelRefused(f"{path.name} is a binary", where=f"{path.name}:{line}", remedy="A model is text only.")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode("latin-1")

    def lines(self, path: Path, depth: int, place: Place | None = None) -> Iterator[Line]:
        """Yield a file's command lines with comments taken off."""
        if depth > MOST_DEPTH:
            raise ModelRefused(f"files include each other more than {MOST_DEPTH} deep", where=str(place))
        name = path.relative_to(self.root).as_posix()
        inside = False
        for number, raw in enumerate(self.read(path, place).splitlines(), start=1):
            self._lines += 1
            here = Place(name, number)
            if self._lines > MOST_LINES:
                raise ModelRefused(f"the model has more than {MOST_LINES} lines", where=str(here))
            if len(raw) > MOST_LINE_BYTES:
                raise ModelRefused("the line is too long", where=str(here))
            text = raw.strip()
            if inside or text.startswith("/*"):
                inside = "*/" not in text
                continue
            text = _without_comment(text)
            if text:
                yield Line(here, text)


def _any_case(folder: Path, part: str) -> Path:
    exact = folder / part
    if exact.exists() or not folder.is_dir():
        return exact
    found = [item for item in folder.iterdir() if item.name.lower() == part.lower()]
    return found[0] if len(found) == 1 else exact


def _without_comment(text: str) -> str:
    closing = ""
    for position, letter in enumerate(text):
        if closing:
            closing = "" if letter == closing else closing
        elif letter in QUOTES:
            closing = QUOTES[letter]
        elif letter == "!" or text.startswith("//", position):
            return text[:position].strip()
    return text


def tokens(line: Line) -> list[Token]:
    """Split a line into parameters as OpenDSS does: blanks, commas and '=' between, five kinds of quotes."""
    found: list[Token] = []
    text, position, end = line.text, 0, len(line.text)
    name = ""
    while True:
        while position < end and text[position] in " \t,":
            position += 1
        if position >= end:
            break
        value, quoted, position = _value(text, position, line.place)
        after = position
        while after < end and text[after] in " \t":
            after += 1
        if after < end and text[after] == "=" and not name:
            name, position = value.lower(), after + 1
            while position < end and text[position] in " \t":
                position += 1
            if position >= end:
                found.append(Token(name, "", False))
                name = ""
            elif text[position] == ",":
                found.append(Token(name, "", False))
                name = ""
            else:
                value, quoted, position = _value(text, position, line.place)
                found.append(Token(name, value, quoted))
                name = ""
        else:
            found.append(Token("", value, quoted))
    return found


def _value(text: str, position: int, place: Place) -> tuple[str, bool, int]:
    letter = text[position]
    if letter in QUOTES:
        closing = text.find(QUOTES[letter], position + 1)
        if closing < 0:
            raise ModelRefused(f"the quote {letter} is not closed", where=str(place), remedy="Close it on the same line.")
        return text[position + 1 : closing].strip(), True, closing + 1
    start = position
    while position < len(text) and text[position] not in " \t,=":
        position += 1
    return text[start:position], False, max(position, start + 1)


def plain(value: str, place: Place) -> str:
    """Return the value if it is made of harmless characters; raises ModelRefused."""
    value = re.sub(r"\(([^()]*)\)", lambda inner: f"{_reverse_polish(inner.group(1), place):.12g}", value)
    if not PLAIN.match(value):
        strange = next(letter for letter in value if not PLAIN.match(letter))
        raise ModelRefused(
            f"the character {strange!r} is not accepted in a name or value", where=str(place), remedy="Spell it out."
        )
    if re.search(r"(?i)(?<![A-Za-z])file\s*=", value):
        raise ModelRefused("a value names a file", where=str(place), remedy="Only load shapes may read numbers.")
    if "=" in value:
        raise ModelRefused("a value holds another assignment", where=str(place), remedy="One property, one value.")
    for word in re.split(r"[\s,|]+", value):
        if re.fullmatch(r"(?i)[+-]?(nan|inf|infinity)", word):
            raise ModelRefused(f"{word!r} is not a number", where=str(place), remedy="Give a finite number.")
    return value


_OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def _reverse_polish(text: str, place: Place) -> float:
    """Return the value of an in-line calculation such as `.704 8 *` inside a list."""
    stack: list[float] = []
    for word in text.split():
        if word in ("+", "-", "*", "/") and len(stack) >= 2:
            second, first = stack.pop(), stack.pop()
            if word == "/" and second == 0.0:
                raise ModelRefused("a division by zero", where=str(place))
            stack.append(_OPERATIONS[word](first, second))
        elif word in ("sqr", "sqrt") and stack:
            value = stack.pop()
            stack.append(value * value if word == "sqr" else math.sqrt(abs(value)))
        else:
            stack += numbers(word, place)
    if len(stack) != 1:
        raise ModelRefused(f"the calculation {text[:40]!r} has no single result", where=str(place))
    return stack[0]


def numbers(text: str, place: Place) -> list[float]:
    """Return the finite numbers of a list; raises ModelRefused with the place of the first that is none."""
    found = []
    for word in re.split(r"[\s,|]+", text.strip()):
        if not word:
            continue
        try:
            value = float(word)
        except ValueError:
            raise ModelRefused(f"{word[:40]!r} is not a number", where=str(place)) from None
        if not math.isfinite(value) or "_" in word:
            raise ModelRefused(f"{word[:40]!r} is not a finite number", where=str(place), remedy="Mend the series.")
        found.append(value)
    return found
