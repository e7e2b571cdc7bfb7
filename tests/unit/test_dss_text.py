"""Uploaded feeder text is hostile: every known way round a deny-list is refused with file, line and reason."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from derms.errors import HeadroomError, InputError, ModelRefused
from derms.feeders import FOLDER, shipped
from derms.grid.dss_text import read_model
from derms.sandbox.feeder_process import FeederProcess

HEAD = "clear\nnew circuit.c basekv=12.47 bus1=s\nnew line.l bus1=s bus2=b length=1 normamps=400\n"
TAIL = "new load.a bus1=b kv=12.47 kw=10\nset voltagebases=(12.47)\ncalcvoltagebases\n"


def model(folder: Path, middle: str) -> Path:
    path = folder / "master.dss"
    path.write_text(HEAD + middle + "\n" + TAIL)
    return path


HOSTILE = [
    "new generator.g bus1=b kv=12.47 kw=1 model=6 usermodel=/tmp/evil.so",
    "new generator.g bus1=b kv=12.47 kw=1 model=6 userm=/tmp/evil.so",
    "new generator.g bus1=b\n~ usermodel=/tmp/evil.so",
    "new generator.g bus1=b\ngenerator.g.usermodel=/tmp/evil.so",
    'new "generator.g" bus1=b "usermodel"=/tmp/evil.so',
    "new storage.s bus1=b dynadll=/tmp/evil.so",
    "new storage.s bus1=b DynaD=/tmp/evil.so",
    "new pvsystem.p bus1=b UserModel=(/tmp/evil.so)",
    "new generator.g bus1=b\nbatchedit generator..* usermodel=/tmp/evil.so",
    "new generator.g bus1=b\nedit generator.g shaftmodel=/tmp/evil.so",
    "new capcontrol.c usermodel=/tmp/evil.so",
    "var @x=/tmp/evil.so\nnew generator.g bus1=b usermodel=@x",
    "redirect ../outside.dss",
    "redirect /etc/passwd",
    "compile ~/x.dss",
    "redirect C:\\windows\\x.dss",
    "buscoords /etc/passwd",
    "set datapath=/tmp",
    "set editor=/bin/sh",
    "export voltages /tmp/out.csv",
    "save circuit dir=/tmp/x",
    "fileedit master.dss",
    "doscmd touch /tmp/x",
    "cd /tmp",
    "set recorder=yes",
    "new loadshape.x npts=2 mult=(file=/etc/passwd)",
    "new loadshape.x npts=2 csvfile=../x.csv",
    "new loadshape.x npts=2 dblfile=x.dbl",
    "new load.z bus1=b kw=(file=x.csv)",
    "new loadshape.x npts=2 mult=(0.5 nan)",
    "new loadshape.x npts=2 mult=(0.5 inf)",
    "new line.k bus1=s bus2=b nosuchproperty=3",
    "new python.p",
    "/bin/sh",
    "new load.q bus1=b kv=(1 0 /)" + " foo='",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_line_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside.dss").write_text("new load.x bus1=b\n")
    with pytest.raises(ModelRefused) as error:
        read_model(model(folder, text))
    assert ":" in error.value.where, error.value
    assert error.value.what


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.dss").write_text("new load.x bus1=b\n")
    (folder / "inside.dss").symlink_to(tmp_path / "secret.dss")
    with pytest.raises(ModelRefused, match="outside"):
        read_model(model(folder, "redirect inside.dss"))


def test_a_circle_a_binary_and_too_much_are_refused(tmp_path: Path) -> None:
    (tmp_path / "again.dss").write_text("redirect again.dss\n")
    with pytest.raises(ModelRefused, match="circle"):
        read_model(model(tmp_path, "redirect again.dss"))
    (tmp_path / "lib.dss").write_bytes(b"\x7fELF\x02\x01" + b"\x00" * 64)
    with pytest.raises(ModelRefused, match="binary"):
        read_model(model(tmp_path, "redirect lib.dss"))
    with pytest.raises(InputError):
        read_model(tmp_path / "nothing.dss")


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    text = "new fuse.f monitoredobj=line.l action=close\nnew energymeter.m element=line.l\nsolve\nset mode=daily"
    found = read_model(model(tmp_path, text))
    assert {finding.message for finding in found.findings} == {
        "fuse left out", "energymeter left out", "command solve left out", "set mode left out",
    }  # fmt: skip
    assert "fuse" not in found.text


def test_abbreviations_positions_and_calculations_come_out_under_full_names(tmp_path: Path) -> None:
    text = "new transformer.t phases=3 wdg=1 bus=b kv=12.47 kva=500 wdg=2 bus=c kv=0.48 kva=500 xhl=(8 2 /)\n"
    text += "new line.m s b2 len=2 normamps=400"
    emitted = read_model(model(tmp_path, text)).text
    assert "xhl=(8 2 /)" in emitted or "x12=(8 2 /)" in emitted
    assert 'new "line.m" bus1="s" bus2="b2" length=2' in emitted


def test_the_same_model_gives_the_same_hash_and_emits_itself(tmp_path: Path) -> None:
    first = read_model(shipped()["ieee13"])
    assert first.sha256 == read_model(shipped()["ieee13"]).sha256
    (tmp_path / "again.dss").write_text(first.text.replace("setbusxy", "! setbusxy"))
    again = read_model(tmp_path / "again.dss")
    assert [line for line in first.text.splitlines() if not line.startswith("setbusxy")] == again.text.splitlines()


def test_a_thousand_mutations_neither_crash_nor_write(tmp_path: Path) -> None:
    """Seeded: each mutant is read or refused with one of our errors; nothing appears outside the model's folder."""
    chance = random.Random(20260101)
    source = re.sub(r"npts=8760 (.*)mult=\(file=[^)]*\)", r"npts=3 \1mult=(1 1 1)", shipped()["ieee13"].read_text())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "ieee13_coordinates.csv").write_bytes((FOLDER / "ieee13_coordinates.csv").read_bytes())
    (folder / "m.dss").write_text(source)
    assert read_model(folder / "m.dss").text  # unhurt it is accepted: what is refused is refused for its wound
    words = [
        "usermodel=x.so",
        "redirect ../x",
        "(",
        ")",
        "[",
        "~",
        "\x00",
        "@v",
        "file=",
        "export v",
        "\n",
        "nan",
        "new",
        ".",
    ]
    refused = 0
    rounds = int(os.environ.get("HEADROOM_FUZZ", "1000"))
    for _ in range(rounds):
        text = list(source)
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(text))
            text[place : place + chance.randrange(0, 4)] = list(chance.choice(words))
        (folder / "m.dss").write_text("".join(text))
        try:
            emitted = read_model(folder / "m.dss").text
        except HeadroomError as error:
            refused += 1
            assert re.fullmatch(r"(m\.dss|ieee13_coordinates\.csv):\d+", error.where), (error.what, error.where)
            continue
        # As a property; a shape may well be called so.
        assert not re.search(r"(?i)(usermodel|file)\"?\s*=", emitted)
    assert rounds // 5 < refused < rounds
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["ieee13_coordinates.csv", "m.dss", "model"]


def test_a_canary_library_never_runs_not_even_past_the_parser(tmp_path: Path) -> None:
    """The second wall: text that the parser would refuse is given to the confined child, which cannot load the library."""
    canary, library = tmp_path / "canary", tmp_path / "evil.so"
    body = f'FILE*f=fopen("{canary}","w"); if(f) fclose(f);'
    code = f"#include <stdio.h>\n__attribute__((constructor)) void go(void){{ {body} }}\n"
    (tmp_path / "evil.c").write_text(code)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "evil.c")], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler here to build the canary library")
    text = f"{HEAD}new generator.g bus1=b kv=12.47 kw=1 model=6 usermodel={library}\n{TAIL}"
    try:
        with FeederProcess(text) as feeder:
            feeder.call("describe")
    except HeadroomError:
        pass
    assert not canary.exists()
