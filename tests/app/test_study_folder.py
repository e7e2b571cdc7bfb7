"""A study folder: signed, replayed to the byte, and refused when anything in it was touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from derms.errors import InputError
from derms.feeders import shipped
from derms.grid.dss_text import read_model
from derms.grid.study_request import ENGINE_VERSION, StudyRequest
from derms.sandbox.study_pool import run_study
from interconnection.services.study_folder import replay, verify, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("study")
    model = read_model(shipped()["ieee13"])
    request = StudyRequest("671", (1, 2, 3), 2_000_000, 2_000_000, tuple(range(0, 8760, 73)))
    result = run_study(model.text, model.sha256, request, workers=1)
    write(place / "folder", model.text, model.sha256, result, place / "key.pem")
    return place / "folder"


def test_a_replay_gives_the_same_bytes_and_names_the_signer(folder: Path) -> None:
    answer = replay(folder, workers=2)
    assert answer["same_bytes"]
    assert answer["signed_by"] == verify(folder)
    with pytest.raises(InputError, match="another key"):
        verify(folder, public_key="00" * 32)


@pytest.mark.parametrize("name", ["inputs.json", "model.dss", "result.json", "hourly.npz", "manifest.json"])
def test_a_touched_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    for file in folder.iterdir():
        data = file.read_bytes()
        (tmp_path / file.name).write_bytes(data + b" " if file.name == name else data)
    with pytest.raises(InputError, match="signature" if name == "manifest.json" else name):
        verify(tmp_path)


def test_a_folder_is_never_written_over(folder: Path) -> None:
    assert json.loads((folder / "inputs.json").read_bytes())["engine"] == ENGINE_VERSION
    with pytest.raises(InputError, match="not empty"):
        write(folder, "", "", None, folder / "key.pem")  # type: ignore[arg-type]
