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
from derms.grid.curtailment import Need
from derms.grid.existing import ExistingSite
from derms.grid.study_request import REGULATORS
from derms.progress import Bar
from derms.sandbox.study_pool import run_study
from derms.units import kilowatts_to_watts
from interconnection.models import Application, FeederVersion
from interconnection.services.existing_sites import ahead_of, in_force
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
        parser.add_argument("--volt-watt", action="store_true", help="export follows the volt-watt curve")
        parser.add_argument("--regulators", choices=REGULATORS, default="frozen", help="how taps are held; worst: of all")
        parser.add_argument("--unbalance-percent", type=float, help="largest voltage unbalance; 3 is usual")
        parser.add_argument(
            "--regulator-band-percent", type=float, help="of the bandwidth that the site may use; 50 is usual"
        )
        parser.add_argument("--reverse-regulator-kw", type=float, help="largest flow back through a regulator that cannot")
        parser.add_argument("--upstream", help="CSV of import kW, export kW at the head: 1, 24 or 8,760 lines")
        parser.add_argument("--fault-rise-percent", type=float, help="10 is usual")
        parser.add_argument("--reach-loss-percent", type=float, help="10 is usual")
        parser.add_argument("--interrupting-percent", type=float, help="of the ratings given; 87.5 is usual")
        parser.add_argument("--interrupting", nargs="*", default=[], metavar="ELEMENT=AMPS")
        parser.add_argument(
            "--alone",
            action="store_true",
            help="leave out agreements in force and who is ahead",
        )
        parser.add_argument("--need", help="JSON with import_w (7 x 24), and export_w, departures, years, seed")
        parser.add_argument("--load-scale", type=float, default=1.0, help="multiplies every load, for a sensitivity")
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
        self._more(answer)
        for finding in answer["findings"]:
            self.stdout.write(f"note: {finding}")
        self.stdout.write(f"inputs sha256 {answer['inputs_sha256']}, engine {answer['engine']}")

    def _more(self, answer: dict[str, Any]) -> None:
        """Print the reversal, regulator modes, criteria that are judged only, and protection."""
        if answer["full_reversal"]:
            swing = answer["full_reversal"]
            self.stdout.write(f"full reversal: {swing['kw']:g} of {swing['whole_kw']:g} kW at once, hour {swing['hour']}")
        for side, modes in answer.get("regulator_modes", {}).items():
            if not modes["same"]:
                shown = ", ".join(
                    f"{name} {modes[name]['kw']:g} kW" for name in ("frozen", "edge", "free") if name in modes
                )
                self.stdout.write(f"{side}: regulators in hour {modes['hour']}: {shown}; the least is {modes['least']}")
        for side, hole in answer["non_monotone"].items():
            self.stdout.write(f"{side}: in {hole['hours']} hours more than the limit would hold again")
        for key, item in answer["criteria"].items():
            if item["broken_hours"]:
                used = "" if item["in_use"] else " (not in use)"
                self.stdout.write(f"{key}: broken in {item['broken_hours']} hours at the limits{used}")
        for side in ("import", "export"):
            if side in answer.get("curtailment", {}):
                item = answer["curtailment"][side]
                kwh = item["curtailed_kwh"]
                self.stdout.write(
                    f"{side}: curtailed {kwh['p50']:g} kWh a year (P50), {kwh['p90']:g} (P90), "
                    f"{item['percent_p50']:g} and {item['percent_p90']:g} % of the need"
                )
                if side == "import":
                    self.stdout.write(
                        f"  shifted {item['shifted_kwh']['p50']:g} kWh, lost {item['lost_kwh']['p50']:g} kWh; departures "
                        f"missed {item['departures_missed']['p50']:g} (P90 {item['departures_missed']['p90']:g}) of "
                        f"{item['departures']['p50']:g}"
                    )
        for item in answer.get("protection", []):
            most = "any power" if item["limit_kw"] is None else f"up to {item['limit_kw']:g} kW"
            used = "" if item["in_use"] else " (not in use)"
            self.stdout.write(f"{item['criterion']}: {most}, {item['element']}{used}")

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
        criteria = _criteria(options)
        request = build_request(
            version,
            *place,
            hours=options["hours"],
            criteria=criteria,
            inverter=options["inverter"],
            engine=options["engine"],
            regulators=options["regulators"],
            volt_watt=options["volt_watt"],
            load_scale=options["load_scale"],
            need=_need(Path(options["need"])) if options["need"] else None,
            existing=_existing(application, version, options["alone"]),
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


def _existing(application: Application | None, version: FeederVersion, alone: bool) -> tuple[ExistingSite, ...]:
    if alone:
        return ()
    return in_force(version.feeder, version) if application is None else ahead_of(application, version)


def _criteria(options: dict[str, Any]) -> CriteriaSettings:
    """Return the criteria that the options ask for; raises InputError naming the option."""

    def watts_of(name: str) -> int | None:
        value = options[name.replace("-", "_")]
        return None if value is None else kilowatts_to_watts(value, where=f"--{name}")

    def share_of(name: str) -> float | None:
        value = options[f"{name.replace('-', '_')}_percent"]
        return None if value is None else value / 100.0

    upstream = _upstream(Path(options["upstream"])) if options["upstream"] else ((), ())
    ratings = []
    for text in options["interrupting"]:
        name, _, amps = text.rpartition("=")
        if not name or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", amps):
            raise InputError(f"{text!r} is no rating", where="--interrupting", remedy="For example line.l1=12000.")
        ratings.append((name, float(amps)))
    return CriteriaSettings(
        rule=options["rule"], voltage_scope=options["voltage_scope"], reverse_power_w=watts_of("reverse-power-kw"),
        reverse_regulator_w=watts_of("reverse-regulator-kw"), unbalance_pu=share_of("unbalance"),
        regulator_band_share=share_of("regulator-band"), fault_rise=share_of("fault-rise"),
        reach_loss=share_of("reach-loss"), interrupting_share=share_of("interrupting"),
        interrupting_amps=tuple(ratings), upstream_import_w=upstream[0], upstream_export_w=upstream[1],
    )  # fmt: skip


def _need(path: Path) -> Need:
    """Return the fleet's need in a JSON file; raises InputError naming the file."""
    try:
        return Need.from_dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("this is no fleet's need", where=path.name, remedy="import_w: 7 lists of 24 watts.") from error


def _upstream(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the import and export series of a CSV of kilowatts; raises InputError with file and line."""
    both: tuple[list[int], list[int]] = ([], [])
    if not path.is_file():
        raise InputError(f"there is no file {path.name}", where="--upstream")
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        cells = line.split(",")
        if number == 1 and not cells[0].strip().replace(".", "").isdigit():
            continue
        try:
            values = [float(cell) for cell in cells]
            import_kw, export_kw = values
        except ValueError as error:
            raise InputError(
                "two numbers are wanted", where=f"{path.name}:{number}", remedy="import kW, export kW"
            ) from error
        for series, kw in zip(both, (import_kw, export_kw), strict=True):
            series.append(kilowatts_to_watts(kw, where=f"{path.name}:{number}"))
    return tuple(both[0]), tuple(both[1])
