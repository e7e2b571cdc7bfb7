"""One tree of errors; each leaf says whose fault it is, whether to try again, and what to do.

HeadroomError
├── InputError          the caller's input is wrong: mend it, then ask again
│   ├── ModelRefused    an uploaded feeder model: file, line, reason
│   └── NotFound        no such thing, or none that this caller may see (the two answer alike)
├── Conflict            right input at the wrong moment: look at the present state first
├── NotConverged        the power flow has no answer here: never a limit, never a zero
├── LocalError          our own fault: a defect, a full disk, a dead child process
└── RemoteError         the other side's fault: a device that refuses, lies or is silent
    ├── Refused         it answered no: trying again without a change is useless
    └── OutcomeUnknown  no answer came: read back before anything is sent again
"""

from __future__ import annotations


class HeadroomError(Exception):
    """Base of the tree: what happened, where, and what to do about it."""

    retry = False

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        advice = f" {self.remedy}" if self.remedy else ""
        return f"{self.what}{place}{advice}"

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross from the sandboxed child to the parent: keep the keyword fields when pickled.
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(kind: type[HeadroomError], what: str, where: str, remedy: str) -> HeadroomError:
    return kind(what, where=where, remedy=remedy)


class InputError(HeadroomError):
    """The input is wrong: mend it, then ask again."""


class ModelRefused(InputError):
    """A feeder model is refused; `where` is file:line."""


class NotFound(InputError):
    """No such thing, or none that the caller may see: both answer alike."""


class Conflict(HeadroomError):
    """The request is well-formed but the present state forbids it."""


class NotConverged(HeadroomError):
    """The power flow found no solution: never to be read as a limit of zero."""


class LocalError(HeadroomError):
    """Our own fault."""

    retry = True


class RemoteError(HeadroomError):
    """The other side's fault."""

    retry = True


class Refused(RemoteError):
    """The device answered no."""

    retry = False


class OutcomeUnknown(RemoteError):
    """A command was sent and no answer came: read back, never resend blindly."""

    retry = False
