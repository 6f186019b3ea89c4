"""How a job ended. Handlers return one of these; `settle` alone turns it into broker operations."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """The effect is recorded; the delivery is acked."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The job may not have its effect; the refusal is recorded and the delivery acked."""

    reason: str


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Back to the tier that is nearest to `seconds`. `count` False leaves the attempt number as it was."""

    seconds: float
    reason: str
    count: bool = True


@dataclass(frozen=True, slots=True)
class Dead:
    """To `dead` with a reason, listed and replayable. `field` names what was malformed, never its value.

    `frame` is the function of ours that failed (`module:function`), `code` the relay's enhanced status code (RFC 3463).
    """

    reason: str
    field: str = ""
    frame: str = ""
    code: str = ""


Outcome = Done | Refused | RetryLater | Dead
