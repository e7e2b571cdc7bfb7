"""What the alarm list keeps: each alarm as it stands, and a journal that is only ever appended to."""

from __future__ import annotations

from django.db import models

from interconnection.models import Frozen
from telemetry.control.alarm import HIDDEN, Alarm, Priority, State
from telemetry.control.alarm_table import BY_KIND, Entry

STATES = [(state.value, state.value) for state in State]


class AlarmRow(models.Model):
    """One alarm: a kind of the rationalisation table, and what it is about. `version` rises with every change."""

    kind = models.CharField(max_length=32)
    subject = models.CharField(max_length=64)
    feeder = models.SlugField(max_length=64, blank=True)
    priority = models.PositiveSmallIntegerField(default=int(Priority.LOW))
    state = models.CharField(max_length=16, choices=STATES, default=State.NORMAL.value)
    condition = models.BooleanField(default=False)
    pending = models.DateTimeField(null=True, blank=True)
    since = models.DateTimeField(null=True, blank=True)
    raised = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    text = models.CharField(max_length=255, blank=True)
    reason = models.CharField(max_length=255, blank=True)
    actor = models.CharField(max_length=150, blank=True)
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["priority", "-raised", "id"]
        constraints = [models.UniqueConstraint(fields=["kind", "subject"], name="one_alarm_a_kind_and_subject")]
        indexes = [models.Index(fields=["state", "priority"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}: {self.state}"

    @property
    def alarm(self) -> Alarm:
        """Return it as the pure state machine sees it."""
        return Alarm(State(self.state), self.condition, self.pending, self.since, self.until)

    @property
    def entry(self) -> Entry:
        """Return its row of the rationalisation table."""
        return BY_KIND[self.kind]

    @property
    def hidden(self) -> bool:
        """Say whether it is shelved, suppressed or out of service."""
        return State(self.state) in HIDDEN


class AlarmEvent(Frozen):
    """One line of the journal."""

    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=32)
    subject = models.CharField(max_length=64)
    feeder = models.SlugField(max_length=64, blank=True)
    priority = models.PositiveSmallIntegerField()
    move = models.CharField(max_length=16)
    before = models.CharField(max_length=16)
    after = models.CharField(max_length=16)
    actor = models.CharField(max_length=150, blank=True)
    text = models.CharField(max_length=255, blank=True)
    reason = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["kind", "subject", "-id"]), models.Index(fields=["move", "at"])]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.kind} {self.subject} {self.move}"

    @property
    def entry(self) -> Entry:
        """Return its row of the rationalisation table."""
        return BY_KIND[self.kind]
