"""What each conversation says about its relay: the breaker learns it, and whoever watches."""

from preklic_shared import metrics, telemetry
from preklic_workers.smtp.conversation import CLOSING, Accepted, Lost, Rejected
from preklic_workers.smtp.replies import Phase
from preklic_workers.smtp.routes import Route

log = telemetry.logger(__name__)


def heard(route: Route, answer: object, now: float) -> None:
    """A session came about and ended with `answer`: what the gate said is nothing about the relay."""
    if isinstance(answer, Accepted | Rejected | Lost) and not ours(answer):
        if at_fault(answer):
            failed(route, now)
        elif route.breaker.worked():
            metrics.RELAY_OPEN.labels(route.name).set(0)
            log.info("a relay answers again", relay=route.name)


def failed(route: Route, now: float) -> None:
    """It gave no session, or would take no mail at all."""
    if route.breaker.failed(now):
        metrics.RELAY_OPEN.labels(route.name).set(1)
        log.error("a relay is set aside: it does not answer", relay=route.name, count=route.breaker.failures)


def ours(answer: Accepted | Rejected | Lost) -> bool:
    """Whether it broke off by our own will: the relay cannot take an address in UTF-8."""
    return isinstance(answer, Lost) and answer.reason == "smtputf8"


def at_fault(answer: Accepted | Rejected | Lost) -> bool:
    """Whether it is about the relay and not about this mail: a loss, 421, or 4yz before anybody was named."""
    if isinstance(answer, Rejected):
        code = answer.reply.code
        return code == CLOSING or (answer.phase is Phase.MAIL and 400 <= code < 500)
    return isinstance(answer, Lost)
