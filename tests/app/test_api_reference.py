"""The API's reference page: every operation and schema of the document, and no link that leads nowhere."""

from __future__ import annotations

import re

import yaml
from django.test import Client
from django.urls import reverse

from derms import api_reference


def test_every_operation_and_schema_has_its_place_and_every_link_leads_to_one(db: None) -> None:
    document = yaml.safe_load(api_reference.DOCUMENT.read_text())
    text = Client().get(reverse("api-docs")).content.decode()
    places = set(re.findall(r' id="([^"]+)"', text))
    for path, methods in document["paths"].items():
        assert path in text
        for found in methods.values():
            assert f"o-{found['operationId']}" in places
    schemas = document["components"]["schemas"]
    assert {f"s-{name}" for name in schemas} <= places
    assert {link for link in re.findall(r'href="#([^"]+)"', text) if link != "main"} <= places
    for field in schemas["ApplicationForm"]["properties"]:
        assert f">{field}" in text


def test_a_schema_in_words_names_its_bounds_and_what_it_holds() -> None:
    kind = api_reference.kind
    assert kind({"type": "number", "minimum": 0, "maximum": 5}) == api_reference.Kind("number", "", "minimum 0, maximum 5")
    assert kind({"type": "array", "items": {"$ref": "#/components/schemas/Bus"}}).words == "list of Bus"
    assert kind({"allOf": [{"$ref": "#/components/schemas/Bus"}], "default": "x"}).schema == "Bus"
    assert kind({"type": ["string", "null"]}).words == "string or null"
    assert kind({"type": "string", "enum": ["a", ""]}).words == "one of a, “”"
