"""A study as a folder that anyone can run again: inputs, model, answer, hourly arrays, hashes, signature.

`model.dss` is the model's own text as it was compiled; `inputs.json` the request with the hash of the model and the engine;
`result.json` the canonical bytes of the answer; `hourly.npz` the same hours as arrays; `manifest.json` the SHA-256 of
each of these; `signature.json` an Ed25519 signature over the manifest's bytes with the public key beside it (RFC 8032).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from derms.errors import InputError, LocalError
from derms.grid.study_request import ENGINES, StudyRequest
from derms.grid.study_result import StudyResult
from derms.sandbox.study_pool import Progress, run_study

SIGNED = ("inputs.json", "model.dss", "result.json", "hourly.npz")


def write(folder: Path, text: str, model_sha256: str, result: StudyResult, key_file: Path) -> str:
    """Write a study's folder (new or empty) and return the manifest's SHA-256; raises InputError where files are."""
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder.name} is not empty", where="folder", remedy="Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {"model_sha256": model_sha256, "request": result.request.to_dict(), "engine": result.engine,
              "versions": versions()}  # fmt: skip
    contents = {
        "inputs.json": _canonical(inputs),
        "model.dss": text.encode(),
        "result.json": result.to_json(),
        "hourly.npz": _arrays(result),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    manifest = _canonical({name: hashlib.sha256(data).hexdigest() for name, data in contents.items()})
    (folder / "manifest.json").write_bytes(manifest)
    key = signing_key(key_file)
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    (folder / "signature.json").write_bytes(_canonical({"ed25519": key.sign(manifest).hex(), "public_key": public.hex()}))
    return hashlib.sha256(manifest).hexdigest()


def replay(folder: Path, *, public_key: str | None = None, workers: int | None = None,
           progress: Progress | None = None) -> dict[str, Any]:  # fmt: skip
    """Check a folder's hashes and signature, run the study again and compare bytes; raises InputError where it is damaged.

    `public_key` (hex): the key that must have signed; without it any key does, and the answer names it.
    """
    signer = verify(folder, public_key=public_key)
    inputs = json.loads((folder / "inputs.json").read_bytes())
    request = StudyRequest.from_dict(inputs["request"])
    if inputs["engine"] != ENGINES[request.engine]:
        raise InputError(
            f"the study was made by {inputs['engine']}, this is {ENGINES[request.engine]}", where="engine",
            remedy="Replay it with the release that made it.",
        )  # fmt: skip
    text = (folder / "model.dss").read_text()
    result = run_study(text, inputs["model_sha256"], request, workers=workers, progress=progress)
    same = result.to_json() == (folder / "result.json").read_bytes()
    return {"same_bytes": same, "signed_by": signer, "engine": result.engine, "inputs_sha256": result.inputs_sha256,
            "made_with": inputs["versions"], "replayed_with": versions()}  # fmt: skip


def verify(folder: Path, *, public_key: str | None = None) -> str:
    """Return the key (hex) that signed a folder whose every file is as it was signed; else InputError says which is not."""
    missing = [name for name in (*SIGNED, "manifest.json", "signature.json") if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder.name} lacks {missing[0]}", where="folder")
    manifest = (folder / "manifest.json").read_bytes()
    try:
        signature = json.loads((folder / "signature.json").read_bytes())
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature["public_key"]))
        key.verify(bytes.fromhex(signature["ed25519"]), manifest)
        listed = json.loads(manifest)
    except (InvalidSignature, ValueError, KeyError, TypeError) as error:
        raise InputError("the signature does not fit the manifest", where="signature.json") from error
    if public_key is not None and signature["public_key"] != public_key.lower():
        raise InputError("another key signed this study", where="signature.json", remedy="Ask its author for the key.")
    for name in SIGNED:
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != listed.get(name):
            raise InputError(f"{name} is not what was signed", where=name)
    return str(signature["public_key"])


def signing_key(path: Path) -> Ed25519PrivateKey:
    """Return the key kept at `path` (PEM, readable by its owner only), made on first use."""
    if path.exists():
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise LocalError("the signing key is no Ed25519 key", where=path.name)
        return key
    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    return key


def versions() -> dict[str, str]:
    """Return what the answer's last digits may depend on."""
    found = {name: version(name) for name in ("opendssdirect.py", "dss_python", "numpy", "numba", "scipy")}
    return found | {"python": platform.python_version(), "machine": platform.machine()}


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _arrays(result: StudyResult) -> bytes:
    packed = io.BytesIO()
    np.savez(
        packed,
        hour=np.array([hour.hour for hour in result.hours], dtype=np.int32),
        import_w=np.array([hour.import_w for hour in result.hours], dtype=np.int64),
        export_w=np.array([hour.export_w for hour in result.hours], dtype=np.int64),
        head_w=np.array([hour.head_w for hour in result.hours], dtype=np.int64),
    )
    return packed.getvalue()
