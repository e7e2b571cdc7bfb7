"""Feeder pages: a model comes in by upload, a second one is compared with it, a hostile one changes nothing."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from interconnection.models import Feeder

SMALL = (
    "clear\nnew circuit.small basekv=12.47 bus1=s\nnew line.l bus1=s bus2=b length=1\n"
    "new load.a bus1=b kv=12.47 kw=100\nset voltagebases=(12.47)\ncalcvoltagebases\n"
)


def send(client: Client, text: str, name: str = "small") -> Any:
    sent = SimpleUploadedFile("small.dss", text.encode())
    return client.post(reverse("upload-feeder"), {"name": name, "model": sent}, follow=True)


def test_a_model_is_uploaded_and_its_second_version_is_compared(people: dict[str, Any]) -> None:
    client = Client()
    client.force_login(people["engineer"])
    page = send(client, SMALL).content.decode()
    assert "OpenDSS&#x27;s default rating" in page or "with OpenDSS's default rating" in page
    more = SMALL.replace("length=1\n", "length=1 normamps=250\nnew line.m bus1=b bus2=c length=1 normamps=200\n")
    assert send(client, more).status_code == 200
    assert Feeder.objects.get().versions.count() == 2
    compared = client.get(reverse("compare-models", args=["small"])).content.decode()
    assert "line.m" in compared
    assert "400.0 A (default)" in compared and "250.0 A (stated)" in compared
    state = client.get(reverse("feeder-state", args=["small"]), {"hour": "0"}).json()
    assert len(state["loading"]) == 2
    wires = client.get(reverse("feeder-wires", args=["small"]))
    drawn = wires.json()
    assert drawn["one_line"], "a model without coordinates is drawn in one-line form"
    assert len(drawn["lines"]) == 2
    assert drawn["left_out"] == 0
    assert client.get(reverse("feeder-wires", args=["small"]), HTTP_IF_NONE_MATCH=wires["ETag"]).status_code == 304


def test_a_hostile_model_is_refused_with_file_line_and_remedy_and_nothing_is_stored(people: dict[str, Any]) -> None:
    client = Client()
    client.force_login(people["engineer"])
    page = send(client, SMALL + "new generator.g bus1=b usermodel=x.so\n").content.decode()
    assert "small.dss:7" in page
    assert "larger than" not in page
    assert not Feeder.objects.exists()
    assert "no file came" in client.post(reverse("upload-feeder"), {"name": "x"}, follow=True).content.decode()


def test_a_name_that_a_page_has_already_is_refused_with_what_to_do(people: dict[str, Any]) -> None:
    client = Client()
    client.force_login(people["engineer"])
    page = send(client, SMALL, "import").content.decode()
    assert "cannot be named" in page
    assert "feeder-import" in page
    assert not Feeder.objects.exists()
