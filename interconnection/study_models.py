"""What a study keeps beside its answer: finished slices, so that a cancelled run goes on, and upgrade ladders."""

from __future__ import annotations

from django.db import models


class StudySlice(models.Model):
    """Some hours of a study that is not merged yet, by their first hour."""

    study = models.ForeignKey("interconnection.Study", models.CASCADE, related_name="slices")
    first_hour = models.PositiveIntegerField()
    hours = models.PositiveIntegerField()
    data = models.JSONField()
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["first_hour"]
        constraints = [models.UniqueConstraint(fields=["study", "first_hour"], name="one_row_a_slice")]

    def __str__(self) -> str:
        return f"slice {self.first_hour} of study {self.study_id}"


class StudyLease(models.Model):
    """Who works on a slice of a study, and until when nobody else may: a worker that dies lets it run out."""

    study = models.ForeignKey("interconnection.Study", models.CASCADE, related_name="leases")
    first_hour = models.IntegerField(help_text="-1: putting the slices together")
    holder = models.CharField(max_length=64)
    until = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=1)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["study", "first_hour"], name="one_lease_a_slice")]

    def __str__(self) -> str:
        return f"slice {self.first_hour} of study {self.study_id}: {self.holder}"


class StudyLadder(models.Model):
    """The upgrade ladder of one side of a study: what binds, what mends it, what that frees and costs."""

    QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"

    study = models.ForeignKey("interconnection.Study", models.CASCADE, related_name="ladders")
    side = models.CharField(max_length=8, choices=[("import", "import"), ("export", "export")])
    status = models.CharField(
        max_length=16, default=QUEUED, choices=[(s, s) for s in ("queued", "running", "done", "failed")]
    )
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=1)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["study", "side"], name="one_ladder_a_side")]

    def __str__(self) -> str:
        return f"{self.side} ladder of study {self.study_id}"


class EngineHealth(models.Model):
    """One run of `manage.py validate --store`: every outside answer, pass or fail, with figures."""

    ran = models.DateTimeField(auto_now_add=True)
    engine = models.CharField(max_length=64)
    passed = models.BooleanField()
    document = models.JSONField()

    class Meta:
        ordering = ["-ran", "-id"]

    def __str__(self) -> str:
        return f"{self.ran:%Y-%m-%d %H:%M} {'passed' if self.passed else 'failed'}"


class StateTable(models.Model):
    """What one site may do in one switching state of a feeder model: limits by month and hour, and the certificate."""

    version = models.ForeignKey("interconnection.FeederVersion", models.CASCADE, related_name="state_tables")
    state = models.SlugField(max_length=40)
    bus = models.CharField(max_length=64)
    phases = models.CharField(max_length=8)
    document = models.JSONField()
    made = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["state"]
        constraints = [
            models.UniqueConstraint(fields=["version", "state", "bus", "phases"], name="one_table_a_state_and_place")
        ]

    def __str__(self) -> str:
        return f"{self.state}: {self.bus}"
