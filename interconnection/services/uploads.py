"""A feeder model that arrives as a ZIP: unpacked by a list of what may be in it, not by what it says of itself."""

from __future__ import annotations

import io
import lzma
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from derms.errors import InputError, ModelRefused
from interconnection.models import FeederVersion
from interconnection.services.feeders import import_feeder

MOST_ZIP_BYTES = 10 * 1024 * 1024
MOST_FILES = 500
MOST_BYTES = 100 * 1024 * 1024
"""Of all files together, counted while they are written: an archive's own sizes are not believed."""
SUFFIXES = (".dss", ".txt", ".csv")
BLOCK = 65536
UNREADABLE = (zipfile.BadZipFile, NotImplementedError, ValueError, zlib.error, lzma.LZMAError)


def unpack(raw: bytes, folder: Path) -> list[Path]:
    """Write an archive's files below `folder`; raises ModelRefused with the entry and the reason, then the folder is void.

    Refused: absolute names, `..`, drive letters, backslashes, NUL, links and devices, a name twice (also in another
    case), encryption, other suffixes than .dss .txt .csv, more than 500 files or 100 MiB unpacked.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
    except UNREADABLE as error:
        raise ModelRefused("this is no ZIP archive", where="zip") from error
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if not 1 <= len(entries) <= MOST_FILES:
            raise ModelRefused(f"{len(entries)} files; 1 to {MOST_FILES} are taken", where="zip")
        left, found, seen = MOST_BYTES, [], set()
        for entry in entries:
            place = _place(entry)
            if str(place).lower() in seen:
                raise ModelRefused("this name stands twice", where=entry.filename[:200])
            seen.add(str(place).lower())
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            left = _copy(archive, entry, target, left)
            found.append(target)
    return found


def _place(entry: zipfile.ZipInfo) -> PurePosixPath:
    name = entry.filename
    path = PurePosixPath(name)
    parts = path.parts
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise ModelRefused("links and devices are not taken", where=name[:200])
    if entry.flag_bits & 0x1:
        raise ModelRefused("the file is encrypted", where=name[:200])
    if path.is_absolute() or ".." in parts or "\\" in name or ":" in name or "\x00" in name or not name.isprintable():
        raise ModelRefused("the name leads out of the archive", where=name[:200])
    if len(name) > 200 or len(parts) > 8:
        raise ModelRefused("the name is too long or too deep", where=name[:200])
    if path.suffix.lower() not in SUFFIXES:
        raise ModelRefused(f"only {' '.join(SUFFIXES)} are taken", where=name[:200], remedy="Leave other files out.")
    return path


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, left: int) -> int:
    try:
        with archive.open(entry) as source, target.open("xb") as out:
            while block := source.read(BLOCK):
                left -= len(block)
                if left < 0:
                    raise ModelRefused(f"unpacked it is larger than {MOST_BYTES} bytes", where=entry.filename[:200])
                out.write(block)
    except (*UNREADABLE, EOFError, OSError, RuntimeError) as error:
        raise ModelRefused("the file cannot be unpacked", where=entry.filename[:200]) from error
    return left


def import_zip(raw: bytes, name: str, *, master: str, actor: str) -> FeederVersion:
    """Import a model from an archive; `master` names the file to begin with, by default the one called Master*.dss.

    Raises ModelRefused, InputError, NotConverged; then nothing is stored.
    """
    with tempfile.TemporaryDirectory(prefix="headroom-upload-") as made:
        folder = Path(made).resolve()
        files = unpack(raw, folder)
        return import_feeder(_master(files, folder, master), name, actor=actor, root=folder)


def _master(files: list[Path], folder: Path, wanted: str) -> Path:
    models = [path for path in files if path.suffix.lower() == ".dss"]
    if wanted:
        named = [path for path in models if path.relative_to(folder).as_posix() == wanted]
        if not named:
            raise InputError(f"the archive has no file {wanted[:200]!r}", where="master")
        return named[0]
    masters = [path for path in models if path.name.lower().startswith("master")] or models
    if len(masters) != 1:
        raise InputError(
            f"{len(masters)} files may be the one to begin with", where="master", remedy="Name it: ?master=PATH."
        )
    return masters[0]


def pack_one(name: str, raw: bytes) -> bytes:
    """Return a single model file as an archive, so that it goes through the same gate; the name is cut to its last part."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(PurePosixPath(name.replace("\\", "/")).name[:100] or "model.dss", raw)
    return packed.getvalue()
