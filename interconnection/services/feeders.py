"""Import a feeder's model: hostile text in, a version with findings out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from django.db import transaction

from derms.errors import InputError
from derms.feeders import shipped
from derms.grid.dss_text import FeederText, read_model
from derms.sandbox.feeder_process import FeederProcess
from interconnection.models import Feeder, FeederVersion
from interconnection.services.audit import record as audit

RESERVED = ("import",)
"""Words that stand where a feeder's name stands in the pages' addresses."""


def import_feeder(path: Path, name: str, *, actor: str, root: Path | None = None) -> FeederVersion:
    """Read, compile in a confined child, and store a feeder's model; the same model twice is one version.

    Raises ModelRefused with file, line and reason, NotConverged, or LocalError; then nothing is stored.
    """
    model = read_model(path, root)
    return store_model(model, name, actor=actor)


def store_model(model: FeederText, name: str, *, actor: str) -> FeederVersion:
    """Compile an accepted model and store it as the feeder's newest version."""
    if not name or not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise InputError(f"{name!r} is not a name for a feeder", where="name", remedy="Letters, digits, - and _.")
    if name in RESERVED:
        raise InputError(
            f"a feeder cannot be named {name!r}: a page has that address", where="name",
            remedy=f"Choose another name, for example feeder-{name}.",
        )  # fmt: skip
    with FeederProcess(model.text) as feeder:
        description = feeder.call("describe")
    findings = [asdict(finding) for finding in model.findings]
    findings += [
        {"code": "electrical", "severity": "notice", "where": "model", "message": message, "count": 1}
        for message in description.pop("findings")
    ]
    violations = description.pop("violations")
    for criterion in sorted({item[0] for item in violations}):
        cases = [item for item in violations if item[0] == criterion]
        pick = min if criterion == "undervoltage" else max
        worst = pick(cases, key=lambda item: item[2])
        findings.append(
            {
                "code": "baseline",
                "severity": "warning",
                "where": str(worst[1]),
                "message": f"{criterion} before any new site in the first hour, worst {worst[2]:.4f} pu",
                "count": len(cases),
            }
        )
    description["elements_by_class"] = model.elements
    with transaction.atomic():
        record, _ = Feeder.objects.get_or_create(name=name)
        version, new = FeederVersion.objects.get_or_create(
            feeder=record,
            sha256=model.sha256,
            defaults={"text": model.text, "description": description, "findings": findings},
        )
        if new:
            audit("import_feeder", actor=actor, after={"feeder": name, "sha256": model.sha256})
    return version


def feeder_version(name_or_path: str, *, actor: str) -> FeederVersion:
    """Return the newest version of a stored feeder; a shipped name or a path is imported first."""
    stored = FeederVersion.objects.filter(feeder__name=name_or_path).first()
    if stored is not None:
        return stored
    path = shipped().get(name_or_path, Path(name_or_path))
    if not path.is_file():
        raise InputError(
            f"no feeder is named {name_or_path!r}",
            where="feeder",
            remedy="Import it with 'manage.py import_feeder PATH --name NAME'. Shipped: " + ", ".join(shipped()) + ".",
        )
    name = name_or_path if name_or_path in shipped() else path.stem.lower()
    return import_feeder(path, name, actor=actor)
