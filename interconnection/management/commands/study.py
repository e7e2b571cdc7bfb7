"""`manage.py study`: the largest import and export of a site, hour by hour, with what stops it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from derms.errors import HeadroomError, InputError
from derms.grid.criteria import CriteriaSettings
from derms.progress import Bar
from derms.sandbox.study_pool import run_study
from derms.units import kilowatts_to_watts
from interconnection.models import Application
from interconnection.services.feeders import feeder_version
from interconnection.services.studies import build_request, order_study, perform


class Command(BaseCommand):
    """Run a study."""

    help = "Study a site's import and export on a feeder, or a stored application."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--application", type=int, help="number of a stored application (instead of what follows)")
        parser.add_argument("--feeder", help="stored or shipped name, or a path to a master file")
        parser.add_argument("--bus")
        parser.add_argument("--phases", default="123")
        parser.add_argument("--import-kw", type=float, default=0.0)
        parser.add_argument("--export-kw", type=float, default=0.0)
        parser.add_argument("--hours", type=int, default=8760, help="all 8760, or this many spread over the year")
        parser.add_argument("--rule", choices=["no_worse", "strict"], default="no_worse")
        parser.add_argument("--voltage-scope", choices=["mv", "all"], default="mv")
        parser.add_argument("--reverse-power-kw", type=float, help="largest flow out of the feeder; default: not limited")
        parser.add_argument("--inverter", choices=["unity", "volt_var_a", "volt_var_b"], default="unity")
        parser.add_argument("--engine", choices=["arrays", "opendss"], default="arrays")
        parser.add_argument("--workers", type=int, help="confined children to use; default: one a core")
        parser.add_argument("--folder", help="also write the study as a signed folder that 'replay' can run again")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run and print."""
        try:
            answer = self._answer(options)
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        if options["json"]:
            self.stdout.write(json.dumps(answer, sort_keys=True))
            return
        for side in ("import", "export"):
            binding = answer[f"binding_{side}"]
            self.stdout.write(
                f"{side}: asked {answer[f'{side}_kw']:g} kW, firm {answer[f'firm_{side}_kw']:g} kW "
                f"({binding['criterion'] or 'nothing'} {binding['element']}, hour {binding['hour']}), flexible up to "
                f"{answer[f'flexible_{side}_kw']:g} kW, limited in {answer[f'limited_hours_{side}']} of "
                f"{answer['hours']} hours, {answer[f'limited_energy_percent_{side}']:g} % of the energy"
            )
        for side, step in answer["largest_step"].items():
            needed = "a ramp limit is needed" if answer["ramp_limit_needed"][side] else "no ramp limit is needed"
            self.stdout.write(f"{side}: a step of {step['kw']:g} kW changes the voltage by the criterion: {needed}")
        for finding in answer["findings"]:
            self.stdout.write(f"note: {finding}")
        self.stdout.write(f"inputs sha256 {answer['inputs_sha256']}, engine {answer['engine']}")

    def _answer(self, options: dict[str, Any]) -> dict[str, Any]:
        application = None
        if options["application"]:
            application = Application.objects.filter(pk=options["application"]).first()
            if application is None:
                raise InputError(f"there is no application {options['application']}", where="--application")
            version = application.feeder.versions.first()
            assert version is not None
            place = (application.bus, application.phase_numbers, application.import_w, application.export_w)
        else:
            if not options["feeder"] or not options["bus"]:
                raise InputError("a feeder and a bus are needed", where="--feeder", remedy="Or give --application.")
            phases = options["phases"].replace(",", "")
            if not re.fullmatch("[123]{1,3}", phases):
                raise InputError(f"{phases!r} are no phases", where="--phases", remedy="For example 123, or 2.")
            version = feeder_version(options["feeder"], actor="command line")
            place = (
                options["bus"],
                tuple(int(phase) for phase in phases),
                kilowatts_to_watts(options["import_kw"], where="--import-kw"),
                kilowatts_to_watts(options["export_kw"], where="--export-kw"),
            )
        reverse = options["reverse_power_kw"]
        criteria = CriteriaSettings(
            rule=options["rule"],
            voltage_scope=options["voltage_scope"],
            reverse_power_w=None if reverse is None else kilowatts_to_watts(reverse, where="--reverse-power-kw"),
        )
        request = build_request(
            version,
            *place,
            hours=options["hours"],
            criteria=criteria,
            inverter=options["inverter"],
            engine=options["engine"],
        )
        if options["folder"]:
            from interconnection.services.study_folder import write

            with Bar("study", stream=sys.stderr) as bar:
                result = run_study(version.text, version.sha256, request, workers=options["workers"], progress=bar.update)
            write(Path(options["folder"]), version.text, version.sha256, result, Path(settings.SIGNING_KEY))
        study = order_study(version, request, actor="command line", application=application)
        with Bar("study", stream=sys.stderr) as bar:
            study = perform(study.pk, progress=bar.update, workers=options["workers"])
        return dict(json.loads(study.result))
