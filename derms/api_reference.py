"""The application API's reference as a page of ours, from the checked-in OpenAPI document: no script, offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import yaml
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from derms.access import PUBLIC, access

DOCUMENT = settings.BASE_DIR / "templates" / "docs" / "openapi.yaml"
NOTED = ("format", "minimum", "maximum", "minLength", "maxLength", "pattern", "maxItems", "default")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value is: words, the schema that they name ("" none), and its bounds."""

    words: str
    schema: str = ""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter of a call or a field of a schema; `place`: query, path, header, or who may send it."""

    name: str
    kind: Kind
    place: str
    required: bool
    says: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: `bodies` and `answers` are (media type or status, what it is)."""

    name: str
    method: str
    path: str
    says: str
    parameters: list[Field]
    bodies: list[tuple[str, Kind]]
    answers: list[tuple[str, Kind]]


def kind(schema: Mapping[str, Any]) -> Kind:
    """Return a JSON schema in words."""
    for item in (schema, *schema.get("allOf", ()), *schema.get("oneOf", ())):
        if "$ref" in item:
            name = str(item["$ref"]).rpartition("/")[2]
            return Kind(name, name, _notes(schema))
    if schema.get("type") == "array":
        each = kind(schema.get("items", {}))
        return Kind(f"list of {each.words}", each.schema, _notes(schema))
    if "enum" in schema:
        return Kind("one of " + ", ".join(str(value) or "“”" for value in schema["enum"]), "", _notes(schema))
    if "additionalProperties" in schema:
        return Kind("object", "", "free keys")
    kinds = schema.get("type", "anything")
    return Kind(kinds if isinstance(kinds, str) else " or ".join(kinds), "", _notes(schema))


def _says(found: Mapping[str, Any]) -> str:
    """Return a description for people: the marks around code are of the docstring's."""
    return str(found.get("description", "")).replace("`", "")


def _notes(schema: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {schema[name]}" for name in NOTED if name in schema and schema[name] != "")


def _operation(method: str, path: str, found: Mapping[str, Any]) -> Operation:
    parameters = [
        Field(item["name"], kind(item.get("schema", {})), item["in"], item.get("required", False), _says(item))
        for item in found.get("parameters", ())
    ]
    bodies = [(media, kind(body.get("schema", {}))) for media, body in _content(found.get("requestBody", {}))]
    answers = []
    for status, answer in found["responses"].items():
        words = "otherwise" if status == "default" else f"{status} {HTTPStatus(int(status)).phrase}"
        media = _content(answer)
        answers.append((words, kind(media[0][1].get("schema", {})) if media else Kind("nothing")))
    return Operation(
        found["operationId"], method.upper(), path, _says(found), parameters, bodies, answers
    )  # fmt: skip


def _content(found: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(found.get("content", {}).items())


def _fields(schema: Mapping[str, Any]) -> list[Field]:
    required = schema.get("required", ())
    return [
        Field(
            name, kind(item), "answer only" if item.get("readOnly") else "sent only" if item.get("writeOnly") else "",
            name in required, _says(item),
        )
        for name, item in schema.get("properties", {}).items()
    ]  # fmt: skip


@lru_cache(maxsize=1)
def reference() -> dict[str, Any]:
    """Return the document arranged for the page: operations by tag, schemas with their fields."""
    # libyaml's loader of the same safe types: the pure one takes more than a second.
    document = yaml.load(DOCUMENT.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    tags: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            tags.setdefault(found["tags"][0], []).append(_operation(method, path, found))
    schemas = [
        (name, _says(schema), _fields(schema), kind(schema)) for name, schema in document["components"]["schemas"].items()
    ]
    return {"info": document["info"], "tags": list(tags.items()), "schemas": schemas}


@access(get=PUBLIC)
def page(request: HttpRequest) -> HttpResponse:
    """Show every call with its parameters, body and answers."""
    return render(request, "api_reference.html", reference())
