"""XML of IEEE 2030.5: written from plain dictionaries in schema order, read by a hardened parser into the same form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree

from derms.errors import InputError
from telemetry.protocols.ieee2030_5.schema import SCHEMA

SEP = "urn:ieee:std:2030.5:ns"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
MEDIA_TYPE = "application/sep+xml"
LARGEST_BODY = 256 * 1024
DEEPEST = 12
INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
HEXADECIMAL = re.compile(r"[0-9A-Fa-f]+")


@dataclass(frozen=True, slots=True)
class Profile:
    """One dialect: where it is mounted and which CSIP-AUS namespace it speaks; plain CSIP speaks none."""

    name: str
    prefix: str
    csipaus: str


CSIP_AUS_12 = Profile("csip-aus 1.2", "", "https://csipaus.org/ns")
CSIP_AUS_13 = Profile("csip-aus 1.3", "/v1.3", "https://csipaus.org/ns/v1.3")
CSIP = Profile("csip", "/us", "")
PROFILES = (CSIP_AUS_13, CSIP, CSIP_AUS_12)
V13_ONLY = frozenset(
    {"opModStorageTargetW", "vppModesSupported", "vppModesEnabled", "setMinWh", "CombinedTimeTariffIntervalListLink",
     "ConsumptionTariffIntervalListSummary", "RateComponentLink"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute or element of a type."""

    name: str
    kind: str
    attribute: bool
    extension: bool
    optional: bool
    many: bool


@lru_cache(maxsize=256)
def fields(kind: str) -> tuple[Field, ...]:
    """Return a type's attributes and elements in schema order."""
    found = []
    for token in SCHEMA[kind].split():
        name, _, what = token.partition(":")
        bare = name.lstrip("@").removeprefix("c.").rstrip("?*")
        found.append(Field(bare, what, name[0] == "@", name.startswith("c."), "?" in name, name.endswith("*")))
    return tuple(found)


def document(kind: str, value: dict[str, Any], profile: Profile = CSIP_AUS_12) -> str:
    """Return a whole document of one type."""
    names = f' xmlns="{SEP}"' + (f' xmlns:c="{profile.csipaus}"' if profile.csipaus else "")
    if kind == "ConnectionPoint":  # the one root element that CSIP-AUS owns
        return write(kind, value, profile, tag="ConnectionPoint", more=f' xmlns="{profile.csipaus}"')
    return write(kind, value, profile, more=names)


def notification(value: dict[str, Any], resource: str, profile: Profile) -> str:
    """Return a Notification that carries a document of ours as its Resource, named by xsi:type; or without one."""
    if not resource:
        return document("Notification", value, profile)
    root = resource
    kind = re.split(r"[ />]", root[1:], maxsplit=1)[0]
    head, _, rest = root.partition(">")
    head = re.sub(r' xmlns(:c)?="[^"]*"', "", head[len(kind) + 1 :])
    if head.endswith("/"):
        inner = f'<Resource xsi:type="{kind}"{head}>'
    else:
        inner = f'<Resource xsi:type="{kind}"{head}>{rest.removesuffix(f"</{kind}>")}</Resource>'
    names = f' xmlns="{SEP}" xmlns:xsi="{XSI}"' + (f' xmlns:c="{profile.csipaus}"' if profile.csipaus else "")
    return write("Notification", value | {"Resource": inner}, profile, more=names)


def write(kind: str, value: dict[str, Any], profile: Profile, *, tag: str = "", more: str = "") -> str:
    """Return one element; hrefs (values that begin with a slash) get the profile's mount."""
    attributes, parts = [more], []
    for field, opening, closing, nested in _plan(kind, profile):
        if (held := value.get(field.name)) is None:
            continue
        if field.attribute:
            attributes.append(f'{opening}"{_text(held, field.kind, profile, QUOTED)}"')
            continue
        for item in held if field.many else (held,):
            if nested:
                parts.append(write(field.kind, item, profile, tag=closing))
            elif field.kind == "any":
                parts.append(item)
            else:
                parts.append(f"{opening}{_text(item, field.kind, profile, PLAIN)}{closing}")
    name = tag or kind
    body = "".join(parts)
    return f"<{name}{''.join(attributes)}>{body}</{name}>" if body else f"<{name}{''.join(attributes)}/>"


PLAIN: dict[str, str] = {}
QUOTED = {'"': "&quot;"}


@lru_cache(maxsize=512)
def _plan(kind: str, profile: Profile) -> tuple[tuple[Field, str, str, bool], ...]:
    """Return (field, what opens it, what closes it, whether it is an element of ours) for what a profile speaks.

    For an element of ours the third is its tag.
    """
    found = []
    for field in fields(kind):
        if not _speaks(profile, field):
            continue
        name = f"c:{field.name}" if field.extension else field.name
        if field.attribute:
            found.append((field, f" {field.name}=", "", False))
        elif field.kind in SCHEMA:
            found.append((field, "", name, True))
        else:
            found.append((field, f"<{name}>", f"</{name}>", False))
    return tuple(found)


def _speaks(profile: Profile, field: Field) -> bool:
    """CSIP-AUS v1.3 has elements of its own; one of them, RateComponentLink, stands in the standard's namespace."""
    if field.name in V13_ONLY:
        return profile is CSIP_AUS_13
    return bool(profile.csipaus) or not field.extension


def _text(value: Any, kind: str, profile: Profile, more: dict[str, str]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if kind == "uri" and text.startswith("/"):
        text = profile.prefix + text
    return text if text.isalnum() else escape(text, more)


def parse(body: bytes, *kinds: str) -> tuple[str, dict[str, Any]]:
    """Return the type and the content of a document of one of `kinds`; raises InputError for anything else.

    Entities, document types, the network, size and depth are closed to the sender.
    """
    if len(body) > LARGEST_BODY:
        raise InputError(f"a body of {len(body)} octets is too large", where="body")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InputError("the body is not well-formed XML", where="body") from error
    if root.getroottree().docinfo.doctype:
        raise InputError("a document type is not allowed", where="body")
    name = etree.QName(root)
    if name.localname not in kinds or not _known(name.namespace):
        raise InputError(f"a {name.localname[:32]} is not taken here", where="body", remedy=f"Send {' or '.join(kinds)}.")
    return name.localname, _read(name.localname, root, 0)


def _known(namespace: str | None) -> bool:
    return namespace == SEP or (namespace or "").startswith("https://csipaus.org/ns")


def _read(kind: str, element: Any, depth: int) -> dict[str, Any]:
    if depth > DEEPEST:
        raise InputError("the document is too deep", where="body")
    found: dict[str, Any] = {}
    children: dict[tuple[bool, str], list[Any]] = {}
    for child in element:
        if isinstance(child.tag, str):
            name = etree.QName(child)
            if _known(name.namespace):
                children.setdefault((name.namespace != SEP, name.localname), []).append(child)
    for field in fields(kind):
        if field.attribute:
            if (raw := element.get(field.name)) is not None:
                found[field.name] = _value(raw, field)
            continue
        held = children.get((field.extension or kind == "ConnectionPoint", field.name), [])
        if not held:
            if not field.optional:
                raise InputError(f"{field.name} is missing", where=f"{kind}.{field.name}")
            continue
        if len(held) > 1 and not field.many:
            raise InputError(f"{field.name} comes twice", where=f"{kind}.{field.name}")
        items = [_read(field.kind, i, depth + 1) if field.kind in SCHEMA else _value(i.text or "", field) for i in held]
        found[field.name] = items if field.many else items[0]
    return found


def _value(raw: str, field: Field) -> Any:
    text, kind = raw.strip(), field.kind
    wrong = InputError(f"{field.name} is not a lawful value", where=field.name)
    if kind == "bool":
        if text not in ("true", "false", "1", "0"):
            raise wrong
        return text in ("true", "1")
    if kind[0] in "iu" and kind[1:].isdigit():
        if not INTEGER.fullmatch(text):
            raise wrong
        number, bits = int(text), int(kind[1:])
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if kind[0] == "i" else (0, (1 << bits) - 1)
        if not low <= number <= high:
            raise wrong
        return number
    if kind[0] == "h":
        if not HEXADECIMAL.fullmatch(text) or len(text) > int(kind[1:]):
            raise wrong
        return text
    if kind[0] == "s" and len(raw) > int(kind[1:] or 0):
        raise wrong
    if kind == "uri" and len(text) > 2000:
        raise wrong
    return raw if kind[0] == "s" else text
