"""What the IEEE 2030.5 utility server keeps: identities, devices, programs, controls, readings, answers, subscriptions."""

from __future__ import annotations

from django.db import models

from telemetry.protocols.ieee2030_5.events import Times


class WireIdentity(models.Model):
    """A client certificate that is known by its LFDI: what it is, whether it may come in, where it may be called back."""

    DEVICE, AGGREGATOR = "device", "aggregator"
    lfdi = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=64, blank=True)
    role = models.CharField(max_length=16, choices=[(DEVICE, DEVICE), (AGGREGATOR, AGGREGATOR)], default=DEVICE)
    granted = models.BooleanField(default=True)
    hosts = models.JSONField(default=list)
    certificate = models.JSONField(default=dict)
    """What the certificate says (issuer, serial, hardware, policies, dates); empty until it was registered or came in."""
    expires = models.DateTimeField(null=True, blank=True)
    seen = models.DateTimeField(null=True, blank=True)
    address = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return f"{self.role} {self.lfdi}"


class EndDevice(models.Model):
    """A device that is served, alone or through its aggregator; `site` ties it to an agreement."""

    lfdi = models.CharField(max_length=40, unique=True)
    sfdi = models.BigIntegerField()
    aggregator = models.ForeignKey(WireIdentity, models.CASCADE, null=True, blank=True, related_name="devices")
    own = models.BooleanField(default=False)
    site = models.SlugField(max_length=64, blank=True, db_index=True)
    pin = models.PositiveIntegerField(default=111115)
    category = models.CharField(max_length=8, default="00")
    post_rate = models.BigIntegerField(default=60)
    connection_point = models.CharField(max_length=32, blank=True)
    rating_w = models.FloatField(null=True, blank=True)
    """setMaxW of its newest DERSettings: plain CSIP counts limits in per cent of it."""
    lent_until = models.BigIntegerField(default=0)
    """Until when the engine vouches for what it lent (seconds UTC): later, lent controls are not served as current."""
    lent_epoch = models.BigIntegerField(default=-1)
    lent_sequence = models.BigIntegerField(default=-1)
    """Order of the last grant: an older one, late or of an engine that leads no more, is refused."""
    registered = models.BigIntegerField()
    changed = models.BigIntegerField()
    last_creation = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-own", "sfdi", "id"]

    def __str__(self) -> str:
        return self.lfdi


class Assignment(models.Model):
    """A FunctionSetAssignments of a device: a named group of programs."""

    device = models.ForeignKey(EndDevice, models.CASCADE, related_name="assignments")
    name = models.CharField(max_length=32)
    primacy = models.PositiveSmallIntegerField(default=1)

    class Meta:
        ordering = ["primacy", "id"]
        constraints = [models.UniqueConstraint(fields=["device", "name"], name="one_assignment_a_name")]

    def __str__(self) -> str:
        return self.name


class Program(models.Model):
    """A DERProgram with its default control (the failsafe)."""

    device = models.ForeignKey(EndDevice, models.CASCADE, related_name="programs")
    assignment = models.ForeignKey(Assignment, models.CASCADE, related_name="programs")
    primacy = models.PositiveSmallIntegerField(default=1)
    description = models.CharField(max_length=31, blank=True)
    default = models.JSONField(default=dict)

    class Meta:
        ordering = ["primacy", "id"]

    def __str__(self) -> str:
        return f"{self.assignment} {self.primacy}"


class Control(models.Model):
    """A DERControl: modes in watts from `start` for `duration` seconds; epoch and sequence name the grant behind it."""

    device = models.ForeignKey(EndDevice, models.CASCADE, related_name="controls")
    program = models.ForeignKey(Program, models.CASCADE, related_name="controls")
    mrid = models.CharField(max_length=32, unique=True)
    modes = models.JSONField()
    start = models.BigIntegerField()
    duration = models.PositiveIntegerField()
    end = models.BigIntegerField()
    creation = models.BigIntegerField()
    cancelled = models.BigIntegerField(null=True, blank=True)
    superseded = models.BigIntegerField(null=True, blank=True)
    randomize_start = models.SmallIntegerField(null=True, blank=True)
    randomize_duration = models.SmallIntegerField(null=True, blank=True)
    epoch = models.PositiveBigIntegerField(null=True, blank=True)
    sequence = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["start", "-creation", "-mrid"]
        indexes = [models.Index(fields=["program", "end"]), models.Index(fields=["device", "end"])]

    def __str__(self) -> str:
        return self.mrid

    @property
    def times(self) -> Times:
        """Return what decides the control's state."""
        randomized = self.randomize_start is not None or self.randomize_duration is not None
        return Times(self.start, self.duration, self.creation, self.cancelled, self.superseded, randomized)


class Curve(models.Model):
    """A DERCurve that a program's controls refer to; `content` in the words of the schema, without identity."""

    program = models.ForeignKey(Program, models.CASCADE, related_name="curves")
    mrid = models.CharField(max_length=32, unique=True)
    kind = models.PositiveSmallIntegerField()
    content = models.JSONField()
    creation = models.BigIntegerField()

    class Meta:
        ordering = ["-creation", "-mrid"]

    def __str__(self) -> str:
        return f"{self.program} curve {self.kind}"


class Tariff(models.Model):
    """A TariffProfile: prices for the devices of its assignments, in `currency` (ISO 4217) times 10^multiplier."""

    name = models.SlugField(max_length=32, unique=True)
    rate_code = models.CharField(max_length=20, blank=True)
    currency = models.PositiveSmallIntegerField(default=840)
    multiplier = models.SmallIntegerField(default=0)
    primacy = models.PositiveSmallIntegerField(default=1)
    assignments = models.ManyToManyField(Assignment, related_name="tariffs")

    class Meta:
        ordering = ["primacy", "id"]

    def __str__(self) -> str:
        return self.name


class RateComponent(models.Model):
    """One thing that a tariff prices: energy taken from the network (flow direction 1) or given to it (19)."""

    tariff = models.ForeignKey(Tariff, models.CASCADE, related_name="components")
    name = models.CharField(max_length=31)
    flow_direction = models.PositiveSmallIntegerField(default=1)
    uom = models.PositiveSmallIntegerField(default=72)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["tariff", "name"], name="one_component_a_name")]

    def __str__(self) -> str:
        return f"{self.tariff} {self.name}"


class PriceInterval(models.Model):
    """A TimeTariffInterval with its prices by consumption block: [[from, price], ...], the first from 0."""

    component = models.ForeignKey(RateComponent, models.CASCADE, related_name="intervals")
    mrid = models.CharField(max_length=32, unique=True)
    start = models.BigIntegerField()
    duration = models.PositiveIntegerField()
    end = models.BigIntegerField()
    creation = models.BigIntegerField()
    tier = models.PositiveSmallIntegerField(default=0)
    blocks = models.JSONField()
    cancelled = models.BigIntegerField(null=True, blank=True)
    superseded = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["start", "-creation", "-mrid"]
        indexes = [models.Index(fields=["component", "end"])]

    def __str__(self) -> str:
        return f"{self.component} {self.start}"

    @property
    def times(self) -> Times:
        """Return what decides the interval's state."""
        return Times(self.start, self.duration, self.creation, self.cancelled, self.superseded)


class FlowReservation(models.Model):
    """A FlowReservationRequest ("40 kWh by 06:00") and its answer. Wh and W import positive: to discharge is negative."""

    REQUESTED, CANCELLED = 0, 1
    device = models.ForeignKey(EndDevice, models.CASCADE, related_name="reservations")
    mrid = models.CharField(max_length=32)
    content = models.JSONField()
    energy_wh = models.FloatField()
    power_w = models.FloatField()
    start = models.BigIntegerField()
    end = models.BigIntegerField()
    creation = models.BigIntegerField()
    status = models.PositiveSmallIntegerField(default=REQUESTED)
    changed = models.BigIntegerField()
    offered_wh = models.FloatField(default=0.0)
    offered_w = models.FloatField(default=0.0)
    offer_start = models.BigIntegerField()
    offer_duration = models.PositiveIntegerField()
    response_mrid = models.CharField(max_length=32, unique=True)

    class Meta:
        ordering = ["-creation", "-id"]
        constraints = [models.UniqueConstraint(fields=["device", "mrid"], name="one_reservation_an_mrid")]
        indexes = [models.Index(fields=["device", "end"])]

    def __str__(self) -> str:
        return f"{self.device} {self.energy_wh:.0f} Wh"


class Posted(models.Model):
    """What a device reported of itself: capability, settings, status, availability, logs."""

    device = models.ForeignKey(EndDevice, models.CASCADE, related_name="posted")
    kind = models.CharField(max_length=32)
    content = models.JSONField()
    at = models.BigIntegerField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["device", "kind"])]

    def __str__(self) -> str:
        return f"{self.device} {self.kind}"


class ControlResponse(models.Model):
    """A client's answer to a control."""

    control = models.ForeignKey(Control, models.CASCADE, related_name="responses")
    status = models.PositiveSmallIntegerField()
    created = models.BigIntegerField()
    at = models.BigIntegerField()

    class Meta:
        ordering = ["-created", "-id"]

    def __str__(self) -> str:
        return f"{self.control} {self.status}"


class UsagePoint(models.Model):
    """A MirrorUsagePoint and its reading types."""

    device = models.ForeignKey(EndDevice, models.CASCADE, related_name="usage_points")
    mrid = models.CharField(max_length=32, unique=True)
    content = models.JSONField()
    post_rate = models.BigIntegerField(default=60)

    class Meta:
        ordering = ["-mrid"]

    def __str__(self) -> str:
        return self.mrid


class MeterStream(models.Model):
    """A MirrorMeterReading: one quantity of a usage point."""

    point = models.ForeignKey(UsagePoint, models.CASCADE, related_name="streams")
    mrid = models.CharField(max_length=32, unique=True)
    reading_type = models.JSONField(default=dict)
    measures = models.CharField(max_length=16, blank=True, db_index=True)
    """What the control room reads from it: power, reactive, voltage at the premises; empty for the rest."""
    last_value = models.BigIntegerField(null=True, blank=True)
    last_start = models.BigIntegerField(null=True, blank=True)
    last_duration = models.BigIntegerField(default=0)
    last_at = models.BigIntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return self.mrid


class MeterValue(models.Model):
    """One reading as it came: the raw value; unit and multiplier stand in its stream."""

    # The constraint below is led by the stream: an index of its own would be written for nothing.
    stream = models.ForeignKey(MeterStream, models.CASCADE, related_name="values", db_index=False)
    start = models.BigIntegerField()
    duration = models.BigIntegerField(default=0)
    value = models.BigIntegerField()
    quality = models.CharField(max_length=4, blank=True)
    at = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "start"], name="one_value_a_start")]

    def __str__(self) -> str:
        return f"{self.stream} {self.start}"


class WireSubscription(models.Model):
    """Who wants to be told about which resource, and where."""

    owner = models.ForeignKey(EndDevice, models.CASCADE, related_name="subscriptions")
    resource = models.CharField(max_length=255, db_index=True)
    uri = models.CharField(max_length=2000)
    limit = models.BigIntegerField(default=1)
    profile = models.CharField(max_length=16)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.resource


class WireNotification(models.Model):
    """A notification that waits or went out; in order for one subscription, tried again for a day."""

    subscription = models.ForeignKey(WireSubscription, models.CASCADE, related_name="notifications")
    body = models.TextField()
    created = models.BigIntegerField()
    due = models.BigIntegerField(db_index=True)
    attempts = models.PositiveIntegerField(default=0)
    done = models.BooleanField(default=False)
    outcome = models.CharField(max_length=64, blank=True)
    finished = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        # What waits is looked up three times a second, among all that ever went out.
        indexes = [
            models.Index(fields=["subscription", "id"], condition=models.Q(done=False), name="notifications_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.subscription} {self.outcome}"


class WireRate(models.Model):
    """A poll or post rate in seconds, by resource."""

    resource = models.CharField(max_length=48, unique=True)
    seconds = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.resource} {self.seconds} s"
