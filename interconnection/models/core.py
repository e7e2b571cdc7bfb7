"""Feeders, applications, studies, offers, agreements, and what happened to them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q

import interconnection.audit_models  # noqa: F401  (one app, one registry of tables)
from derms.agreement import Terms
from derms.errors import Conflict
from interconnection import states


class Frozen(models.Model):
    """A row that is written once and never changed."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row; a second time is refused."""
        if self.pk is not None and type(self).objects.filter(pk=self.pk).exists():  # type: ignore[attr-defined]
            raise Conflict(f"{type(self).__name__} is never edited", where=type(self).__name__.lower())
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse: facts stay."""
        raise Conflict(f"{type(self).__name__} is never deleted", where=type(self).__name__.lower())


PROTOCOLS = [("dnp3", "DNP3"), ("sunspec", "SunSpec Modbus"), ("ieee2030_5", "IEEE 2030.5")]
"""The wires over which a site may be held to its limits."""

EXPORT_MODES = [
    ("none", "no export"), ("limited", "limited at the connection point"), ("scheduled", "by schedule"),
    ("dynamic", "by limits sent"), ("full", "up to nameplate"),
]  # fmt: skip
"""How the site means to export; a limited export is judged at its limit, not at its nameplate."""
LIMIT_MEANS = [
    ("pcs", "certified power control system"), ("ems", "energy management system"), ("relay", "protective relay 32/47"),
    ("utility", "limits sent by the utility"),
]  # fmt: skip
"""What holds the site to its limits."""
INVERTER_PLACES = [("charger", "in the charger (V2G-DC)"), ("vehicle", "in the vehicle (V2G-AC)")]


class Feeder(models.Model):
    """One distribution circuit by name; what it is made of stands in its versions."""

    name = models.SlugField(max_length=64, unique=True)
    created = models.DateTimeField(auto_now_add=True)
    firm_bank_w = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="What the substation's bank carries with its largest unit out."
    )

    def __str__(self) -> str:
        return self.name


class FeederVersion(Frozen):
    """One accepted model of a feeder: emitted text, its hash, what it holds and what was found."""

    feeder = models.ForeignKey(Feeder, models.PROTECT, related_name="versions")
    sha256 = models.CharField(max_length=64)
    text = models.TextField()
    description = models.JSONField()
    findings = models.JSONField()
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created", "-id"]
        constraints = [models.UniqueConstraint(fields=["feeder", "sha256"], name="one_row_a_model")]

    def __str__(self) -> str:
        return f"{self.feeder} {self.sha256[:12]}"


class Application(models.Model):
    """One request for a connection: import and export, chargers, the fleet's need."""

    applicant = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="applications")
    name = models.CharField(max_length=120)
    feeder = models.ForeignKey(Feeder, models.PROTECT, related_name="applications")
    bus = models.CharField(max_length=64)
    phases = models.CharField(max_length=8, default="123")
    import_w = models.PositiveBigIntegerField()
    export_w = models.PositiveBigIntegerField()
    charger_model = models.CharField(max_length=120)
    charger_count = models.PositiveIntegerField()
    charger_import_w = models.PositiveBigIntegerField()
    charger_export_w = models.PositiveBigIntegerField()
    need_wh_per_day = models.PositiveBigIntegerField(default=0)
    wanted = models.DateField()
    protocol = models.CharField(max_length=16, choices=PROTOCOLS, default="dnp3")

    address = models.CharField(max_length=200, blank=True)
    account = models.CharField(max_length=40, blank=True, help_text="The utility's account or meter.")
    contact = models.CharField(max_length=120, blank=True, help_text="Who answers day and night.")
    contact_email = models.EmailField(blank=True)
    contact_phone = models.CharField(max_length=40, blank=True)
    transformer = models.CharField(max_length=64, blank=True, help_text="Service transformer's name.")
    transformer_va = models.PositiveBigIntegerField(null=True, blank=True)
    service_v = models.PositiveIntegerField(null=True, blank=True, help_text="Line-to-line volts at the service.")
    service_a = models.PositiveIntegerField(null=True, blank=True, help_text="Rating of the service, amperes.")
    secondary_shared = models.BooleanField(default=False)
    spot_network = models.BooleanField(default=False)
    import_va = models.PositiveBigIntegerField(null=True, blank=True, help_text="Nothing: as the watts.")
    export_va = models.PositiveBigIntegerField(null=True, blank=True, help_text="Nothing: as the watts.")
    export_mode = models.CharField(max_length=16, choices=EXPORT_MODES, default="dynamic")
    limit_means = models.CharField(max_length=16, choices=LIMIT_MEANS, default="utility")
    charger_make = models.CharField(max_length=80, blank=True)
    inverter_place = models.CharField(max_length=16, choices=INVERTER_PLACES, default="charger")
    charger_fault_pu = models.FloatField(default=1.2, help_text="Fault current in multiples of rated current.")
    certificates = models.JSONField(default=list, blank=True, help_text="Each: standard, listing.")
    vehicle_model = models.CharField(max_length=120, blank=True)
    vehicle_count = models.PositiveIntegerField(default=0)
    vehicle_wh = models.PositiveBigIntegerField(default=0, help_text="Battery of one vehicle.")
    storage_w = models.PositiveBigIntegerField(default=0)
    storage_wh = models.PositiveBigIntegerField(default=0)
    pv_w = models.PositiveBigIntegerField(default=0)
    load_most_w = models.PositiveBigIntegerField(default=0, help_text="Largest load behind the meter.")
    load_least_w = models.PositiveBigIntegerField(default=0)
    schedule = models.JSONField(
        default=dict, blank=True, help_text="need_w: 7 x 24 watts, Monday first; departure_soc: 7 x 24, 0..1 or nothing."
    )
    documents = models.JSONField(default=list, blank=True, help_text="Each: kind, status (attached or pending), note.")
    rule_pack = models.CharField(max_length=64, default="us-sgip-like")
    completed = models.DateTimeField(null=True, blank=True, help_text="Deemed complete: the place in each queue.")

    state = models.CharField(max_length=16, choices=[(s, s) for s in states.STATES], default=states.DRAFT)
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created", "-id"]
        indexes = [models.Index(fields=["state", "-created"])]
        constraints = [
            models.CheckConstraint(
                condition=Q(import_w__lte=F("charger_count") * F("charger_import_w")), name="import_within_nameplate"
            ),
            models.CheckConstraint(
                condition=Q(export_w__lte=F("charger_count") * F("charger_export_w")), name="export_within_nameplate"
            ),
            models.CheckConstraint(condition=Q(import_w__gt=0) | Q(export_w__gt=0), name="something_is_asked"),
            models.CheckConstraint(condition=Q(state__in=states.STATES), name="a_known_state"),
            models.CheckConstraint(condition=Q(load_least_w__lte=F("load_most_w")), name="least_load_within_most"),
            models.CheckConstraint(condition=Q(charger_fault_pu__gte=0, charger_fault_pu__lte=10), name="a_fault_current"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})"

    @property
    def reference(self) -> str:
        """Return the number people quote."""
        return f"A-{self.pk:05d}"

    @property
    def phase_numbers(self) -> tuple[int, ...]:
        """Return the phases as numbers."""
        return tuple(int(letter) for letter in self.phases)


class Study(models.Model):
    """A run: what was asked, how far it is, what came out."""

    QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"

    application = models.ForeignKey(Application, models.PROTECT, related_name="studies", null=True, blank=True)
    version = models.ForeignKey(FeederVersion, models.PROTECT, related_name="studies")
    request = models.JSONField()
    inputs_sha256 = models.CharField(max_length=64, db_index=True)
    engine = models.CharField(max_length=64)
    status = models.CharField(
        max_length=16, default=QUEUED, choices=[(s, s) for s in (QUEUED, RUNNING, DONE, FAILED, CANCELLED)]
    )
    done_hours = models.PositiveIntegerField(default=0)
    total_hours = models.PositiveIntegerField()
    result = models.TextField(blank=True)
    error = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(done_hours__lte=F("total_hours")), name="no_more_hours_than_asked"),
            models.CheckConstraint(condition=~Q(status="done") | ~Q(result=""), name="done_means_a_result"),
        ]

    def __str__(self) -> str:
        return f"study {self.pk} ({self.status})"


class Offer(models.Model):
    """ "Yes, if": the terms as one document, prepared by one person and issued by another."""

    PREPARED, OPEN, ACCEPTED, DECLINED, LAPSED, SUPERSEDED = (
        "prepared", "open", "accepted", "declined", "lapsed", "superseded",
    )  # fmt: skip
    STATUSES = (PREPARED, OPEN, ACCEPTED, DECLINED, LAPSED, SUPERSEDED)

    application = models.ForeignKey(Application, models.PROTECT, related_name="offers")
    study = models.ForeignKey(Study, models.PROTECT, related_name="offers")
    document = models.TextField()
    sha256 = models.CharField(max_length=64)
    firm_import_w = models.PositiveBigIntegerField()
    firm_export_w = models.PositiveBigIntegerField()
    flexible_import_w = models.PositiveBigIntegerField()
    flexible_export_w = models.PositiveBigIntegerField()
    failsafe_import_w = models.PositiveBigIntegerField()
    failsafe_export_w = models.PositiveBigIntegerField()
    status = models.CharField(max_length=16, choices=[(s, s) for s in STATUSES], default=PREPARED)
    kind = models.CharField(max_length=24, default="dynamic", help_text="Which of the options it is.")
    prepared_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    prepared = models.DateTimeField(auto_now_add=True)
    issued_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", null=True, blank=True)
    issued = models.DateTimeField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True, help_text="Last day on which it may be accepted.")
    margin = models.FloatField(default=0.1, help_text="Part of the study's limit that a schedule keeps in reserve.")
    conditional_on = models.ForeignKey(
        Application, models.PROTECT, related_name="+", null=True, blank=True,
        help_text="It holds only if this one, which is ahead, is not connected.",
    )  # fmt: skip

    class Meta:
        ordering = ["-prepared", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["application"], condition=Q(status__in=("prepared", "open")), name="one_open_offer"
            ),
            models.CheckConstraint(
                condition=Q(issued_by__isnull=True) | ~Q(issued_by=F("prepared_by")), name="two_people_issue"
            ),
            models.CheckConstraint(condition=Q(margin__gte=0, margin__lte=0.5), name="a_margin"),
            models.CheckConstraint(
                condition=~Q(status__in=("open", "accepted")) | Q(issued__isnull=False), name="open_means_issued"
            ),
            models.CheckConstraint(
                condition=Q(status__in=("prepared", "open", "accepted", "declined", "lapsed", "superseded")),
                name="a_known_offer_status",
            ),
            models.CheckConstraint(
                condition=Q(firm_import_w__lte=F("flexible_import_w"), firm_export_w__lte=F("flexible_export_w")),
                name="firm_within_flexible",
            ),
            models.CheckConstraint(
                condition=Q(failsafe_import_w__lte=F("firm_import_w"), failsafe_export_w__lte=F("firm_export_w")),
                name="failsafe_within_firm",
            ),
        ]

    def __str__(self) -> str:
        return f"offer {self.pk} {self.sha256[:12]}"

    @property
    def open(self) -> bool:
        """Say whether the applicant may accept it now."""
        return self.status == self.OPEN

    @property
    def terms(self) -> Terms:
        """Return the terms that the document says."""
        return Terms.parse(self.document.encode())


class Agreement(Frozen):
    """An accepted offer: the same document, signed. The control room obeys this object."""

    offer = models.OneToOneField(Offer, models.PROTECT, related_name="agreement")
    site = models.SlugField(max_length=64, unique=True)
    document = models.TextField()
    sha256 = models.CharField(max_length=64)
    accepted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    typed_name = models.CharField(max_length=120, blank=True, help_text="As the person who accepted typed it.")
    accepted = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"agreement {self.site} {self.sha256[:12]}"

    @property
    def terms(self) -> Terms:
        """Return the terms; the hash is checked each time they are read."""
        terms = Terms.parse(self.document.encode())
        if terms.sha256() != self.sha256:
            raise Conflict("the agreement's document does not fit its hash", where=self.site)
        return terms


class Event(Frozen):
    """Who did what, and what changed: append-only."""

    application = models.ForeignKey(Application, models.PROTECT, related_name="events", null=True, blank=True)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=32)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor} {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row and its entry in the audit chain: both or none."""
        from interconnection import audit  # the chain's tables are of this app: imported when apps are ready

        with transaction.atomic():
            super().save(*args, **kwargs)
            subject = f"application {self.application_id}" if self.application_id else "utility"
            audit.append(self.actor, self.action, subject, self.before, self.after)


from interconnection.study_models import EngineHealth, StateTable, StudyLadder, StudyLease, StudySlice  # noqa: E402, F401
