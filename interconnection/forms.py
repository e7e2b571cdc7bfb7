"""Forms of the planning desk: kilowatts outside, watts inside."""

from __future__ import annotations

from typing import Any

from django import forms

from derms.agreement import Conditions
from derms.errors import InputError
from derms.limits import Limit
from derms.units import kilowatts_to_watts
from interconnection import rule_packs
from interconnection.models import PROTOCOLS, Application, Feeder
from interconnection.models.core import EXPORT_MODES, INVERTER_PLACES, LIMIT_MEANS
from interconnection.offer_options import SIDES, grid_text, parse_grid
from interconnection.queue_order import earlier
from interconnection.request import DOCUMENT_KINDS, Request, outside
from interconnection.services.offer_editor import Edit
from interconnection.states import QUEUED


def _kw(words: str, *, required: bool = True) -> forms.FloatField:
    return forms.FloatField(min_value=0, label=words, required=required, widget=forms.NumberInput(attrs={"step": "any"}))


class ApplicationForm(forms.Form):
    """An application, both sides of it: what is empty here is a gap there, not an error."""

    name = forms.CharField(max_length=120, label="Site")
    address = forms.CharField(max_length=200, required=False)
    account = forms.CharField(max_length=40, required=False, label="Account or meter")
    contact = forms.CharField(max_length=120, required=False, label="Contact, day and night")
    contact_email = forms.EmailField(required=False, label="Contact's e-mail")
    contact_phone = forms.CharField(max_length=40, required=False, label="Contact's telephone")
    feeder = forms.ChoiceField()
    bus = forms.CharField(max_length=64)
    phases = forms.RegexField(r"^[123]{1,3}$", initial="123")
    transformer = forms.CharField(max_length=64, required=False, label="Service transformer")
    transformer_kva = _kw("Its rating, kVA", required=False)
    service_v = forms.IntegerField(min_value=1, max_value=500_000, required=False, label="Service, volts line to line")
    service_a = forms.IntegerField(min_value=1, max_value=100_000, required=False, label="Service, amperes")
    secondary_shared = forms.BooleanField(required=False, label="The secondary is shared")
    spot_network = forms.BooleanField(required=False, label="On a spot network")
    import_kw = _kw("Import, kW")
    export_kw = _kw("Export, kW")
    export_mode = forms.ChoiceField(choices=EXPORT_MODES, initial="dynamic")
    limit_means = forms.ChoiceField(choices=LIMIT_MEANS, initial="utility", label="What holds the site to its limit")
    charger_make = forms.CharField(max_length=80, required=False, label="Charger, make")
    charger_model = forms.CharField(max_length=120, label="Charger, model")
    charger_count = forms.IntegerField(min_value=1, max_value=100_000, label="How many")
    charger_import_kw = _kw("Each imports, kW")
    charger_export_kw = _kw("Each exports, kW")
    inverter_place = forms.ChoiceField(choices=INVERTER_PLACES, label="Inverter")
    charger_fault_pu = forms.FloatField(min_value=0, max_value=10, initial=1.2, label="Fault current, times rated")
    certificates = forms.CharField(
        required=False, label="Certificates", widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One a line: the standard, a colon, the laboratory's listing number. UL 1741 SB: E000001",
    )  # fmt: skip
    vehicle_model = forms.CharField(max_length=120, required=False, label="Vehicle")
    vehicle_count = forms.IntegerField(min_value=0, max_value=100_000, initial=0, label="Vehicles")
    vehicle_kwh = _kw("Battery of each, kWh", required=False)
    need_kwh_per_day = _kw("Fleet's need, kWh a day", required=False)
    storage_kw = _kw("Storage, kW", required=False)
    storage_kwh = _kw("Storage, kWh", required=False)
    pv_kw = _kw("PV, kW", required=False)
    load_most_kw = _kw("Load behind the meter, most, kW", required=False)
    load_least_kw = _kw("Load behind the meter, least, kW", required=False)
    documents = forms.MultipleChoiceField(
        choices=[(kind, kind.replace("_", " ")) for kind in DOCUMENT_KINDS], required=False,
        widget=forms.CheckboxSelectMultiple, label="Documents handed in",
    )  # fmt: skip
    wanted = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"), label="Wanted by")
    protocol = forms.ChoiceField(choices=PROTOCOLS)
    rule_pack = forms.ChoiceField(label="Rules", initial="us-sgip-like")

    GROUPS = (
        ("Site and contact", ("name", "address", "account", "contact", "contact_email", "contact_phone", "wanted",
                              "rule_pack")),
        ("Point of connection", ("feeder", "bus", "phases", "transformer", "transformer_kva", "service_v", "service_a",
                                 "secondary_shared", "spot_network")),
        ("Service (import) and interconnection (export)", ("import_kw", "export_kw", "export_mode", "limit_means",
                                                           "protocol")),
        ("Chargers", ("charger_make", "charger_model", "charger_count", "charger_import_kw", "charger_export_kw",
                      "inverter_place", "charger_fault_pu", "certificates")),
        ("Fleet", ("vehicle_model", "vehicle_count", "vehicle_kwh", "need_kwh_per_day")),
        ("Beside them", ("storage_kw", "storage_kwh", "pv_kw", "load_most_kw", "load_least_kw")),
        ("Documents", ("documents",)),
    )  # fmt: skip

    def __init__(self, *args: Any, before: Request | None = None, **kwargs: Any) -> None:
        self.before = before
        if before is not None:
            kwargs["initial"] = _shown(before)
        super().__init__(*args, **kwargs)
        names = [(name, name) for name in Feeder.objects.order_by("name").values_list("name", flat=True)]
        self.fields["feeder"].choices = names  # type: ignore[attr-defined]
        self.fields["rule_pack"].choices = [(name, name) for name in rule_packs.names()]  # type: ignore[attr-defined]

    def groups(self) -> list[tuple[str, list[Any]]]:
        """Return the fields under their headings, in the order of the form."""
        return [(words, [self[name] for name in names]) for words, names in self.GROUPS]

    def request(self) -> Request:
        """Return what is asked for, in watts; raises InputError (NaN among them)."""
        data = dict(self.cleaned_data)
        facts: dict[str, Any] = {}
        for name in list(data):
            for shown, inside in (("_kwh_per_day", "_wh_per_day"), ("_kwh", "_wh"), ("_kva", "_va"), ("_kw", "_w")):
                if name.endswith(shown):
                    value = data.pop(name)
                    key = name.removesuffix(shown) + inside
                    facts[key] = kilowatts_to_watts(value, where=name) if value is not None else _NOTHING.get(key, 0)
                    break
        data["certificates"] = _certificates(data["certificates"])
        data["documents"] = [{"kind": kind, "status": "attached", "note": ""} for kind in data["documents"]]
        kept: dict[str, Any] = (
            {"schedule": self.before.schedule, "import_va": self.before.import_va, "export_va": self.before.export_va}
            if self.before
            else {}
        )
        return Request(**data, **facts, **kept)


_NOTHING = {"transformer_va": None}


def _certificates(text: str) -> list[dict[str, str]]:
    found = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines()))):
        standard, colon, listing = line.partition(":")
        if not colon:
            raise InputError(
                f"line {number + 1} of the certificates has no colon", where="certificates",
                remedy="Write the standard, a colon, the listing number.",
            )  # fmt: skip
        found.append({"standard": standard.strip(), "listing": listing.strip()})
    return found


def _shown(wanted: Request) -> dict[str, Any]:
    """Return a request as the form shows it."""
    found: dict[str, Any] = {}
    for name, value in wanted.document().items():
        shown = outside(name)
        found[shown] = value / 1000 if shown != name and isinstance(value, int) else value
    found["certificates"] = "\n".join(f"{row['standard']}: {row['listing']}" for row in wanted.certificates)
    found["documents"] = [row["kind"] for row in wanted.documents if row["status"] == "attached"]
    found["wanted"] = wanted.wanted
    return found


class OfferForm(forms.Form):
    """The editor's fields, kilowatts outside; `edit()` gives them back in watts."""

    kind = forms.CharField(widget=forms.HiddenInput)
    firm_import = forms.FloatField(min_value=0)
    firm_export = forms.FloatField(min_value=0)
    failsafe_import = forms.FloatField(min_value=0)
    failsafe_export = forms.FloatField(min_value=0)
    ramp = forms.FloatField(min_value=0)
    response_s = forms.IntegerField(min_value=1, max_value=900)
    telemetry_s = forms.IntegerField(min_value=1, max_value=900)
    lease_s = forms.IntegerField(min_value=10, max_value=3600)
    cap_hours = forms.IntegerField(min_value=0, max_value=8760)
    cap_energy_percent = forms.FloatField(min_value=0, max_value=100)
    starts = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    ends = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    valid_until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    remedy = forms.ChoiceField(
        required=False, initial="review",
        choices=[("review", "both sides review the agreement"), ("pay", "the utility pays, $ a kWh"),
                 ("upgrade", "the utility builds the upgrade"), ("none", "nothing more is owed")],
    )  # fmt: skip
    remedy_usd_per_kwh = forms.FloatField(required=False, min_value=0, max_value=100)
    access = forms.ChoiceField(
        required=False, initial="pro_rata",
        choices=[("pro_rata", "in proportion to what was agreed"), ("equal", "in equal parts"), ("need", "by need"),
                 ("last_in_first_off", "first to those that came first")],
    )  # fmt: skip
    bridge_for = forms.CharField(required=False, max_length=200)
    conditional_on = forms.ModelChoiceField(queryset=Application.objects.none(), required=False, empty_label="nothing else")
    schedule_import = forms.CharField(widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false"}), strip=False)
    schedule_export = forms.CharField(widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false"}), strip=False)

    LABELS = {
        "firm_import": "firm import, kW", "firm_export": "firm export, kW", "failsafe_import": "failsafe import, kW",
        "failsafe_export": "failsafe export, kW", "ramp": "ramp, kW a second", "response_s": "response, seconds",
        "telemetry_s": "telemetry, seconds", "lease_s": "lease, seconds", "cap_hours": "cap, hours a year",
        "cap_energy_percent": "cap, percent of energy", "starts": "first day", "ends": "last day, empty: evergreen",
        "valid_until": "may be accepted until", "remedy": "above the cap", "remedy_usd_per_kwh": "price, $ a kWh",
        "access": "how room is shared", "bridge_for": "a bridge until this is there, empty: no bridge",
        "conditional_on": "only if this one is not connected",
    }  # fmt: skip

    def __init__(self, *args: Any, application: Application | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"auto_id": "o-%s"}))
        if application is not None:
            self.fields["conditional_on"].queryset = earlier(application).filter(  # type: ignore[attr-defined]
                state__in=QUEUED
            )
        for name, words in self.LABELS.items():
            self.fields[name].widget.attrs |= {"class": "inline short", "aria-label": words}
            if isinstance(self.fields[name], forms.FloatField):
                self.fields[name].widget.attrs["step"] = "any"

    @classmethod
    def starting(cls, edit: Edit, application: Application | None = None) -> OfferForm:
        """Return the form as an option opens it."""
        return cls(
            application=application,
            initial={
                "kind": edit.kind,
                "firm_import": edit.firm.import_w / 1000, "firm_export": edit.firm.export_w / 1000,
                "failsafe_import": edit.failsafe.import_w / 1000, "failsafe_export": edit.failsafe.export_w / 1000,
                "ramp": edit.ramp_w_per_s / 1000, "response_s": edit.response_s, "telemetry_s": edit.telemetry_s,
                "lease_s": edit.lease_s, "cap_hours": edit.cap_hours, "cap_energy_percent": edit.cap_energy_percent,
                "starts": edit.starts, "ends": edit.ends, "valid_until": edit.valid_until,
                **{f"schedule_{side}": grid_text(edit.grids[side]) for side in SIDES},
            }
        )  # fmt: skip

    @staticmethod
    def _conditions(data: dict[str, Any]) -> Conditions:
        return Conditions(
            remedy=data["remedy"] or "review", remedy_usd_per_kwh=data["remedy_usd_per_kwh"] or 0.0,
            access=data["access"] or "pro_rata", bridge_for=data["bridge_for"],
            conditional_on=data["conditional_on"].reference if data["conditional_on"] else "",
        )  # fmt: skip

    def edit(self) -> Edit:
        """Return what the fields say, in watts; raises InputError with the field (NaN, a wrong cell)."""
        data = self.cleaned_data

        def pair(name: str) -> Limit:
            return Limit(*(kilowatts_to_watts(data[f"{name}_{side}"], where=f"{name}_{side}") for side in SIDES))

        grids = {side: parse_grid(data[f"schedule_{side}"], side) for side in SIDES}
        top = Limit(*(max(map(max, grids[side])) for side in SIDES))
        return Edit(
            kind=data["kind"], firm=pair("firm"), flexible=top, failsafe=pair("failsafe"),
            ramp_w_per_s=kilowatts_to_watts(data["ramp"], where="ramp"), response_s=data["response_s"],
            telemetry_s=data["telemetry_s"], lease_s=data["lease_s"], cap_hours=data["cap_hours"],
            cap_energy_percent=data["cap_energy_percent"], starts=data["starts"], ends=data["ends"],
            valid_until=data["valid_until"], grids=grids, conditions=self._conditions(data),
            conditional_on=data["conditional_on"],
        )  # fmt: skip
