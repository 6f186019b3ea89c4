"""dramatiq's middleware signals, for those who observe. With no middleware they cost nothing.

Middleware sees jobs and decides nothing: dramatiq logs and forgets what a hook raises, so no guard may live there,
and a hook that asks to skip a job is not followed either.
"""

from typing import Any

import structlog
from dramatiq import Broker, Message
from dramatiq.broker import MessageProxy
from dramatiq.middleware import MiddlewareError

from preklic_workers.intake import Work
from preklic_workers.outcomes import Dead, Outcome

log = structlog.get_logger()


def announce(broker: Broker, work: Work) -> None:
    """`before_process_message`. Gives the work the proxy that later signals show."""
    if not broker.middleware or work.handler is None or work.opened is None:
        return
    job = work.opened.job
    message: Message[Any] = Message(
        queue_name=work.handler.queue,
        actor_name=work.handler.actor,
        args=(),
        kwargs={"job": job},
        options={},
        message_id=job.id,
        message_timestamp=job.at,
    )
    work.proxy = MessageProxy(message)
    try:
        broker.emit_before("process_message", work.proxy)
    except MiddlewareError as error:
        log.warning("middleware cannot skip a job", error=type(error).__name__)


def conclude(broker: Broker, work: Work, outcome: Outcome) -> None:
    """`after_process_message`, with the outcome as the result."""
    if work.proxy is not None:
        broker.emit_after("process_message", work.proxy, result=outcome)


def before_settling(broker: Broker, work: Work, outcome: Outcome) -> None:
    """`before_nack` for a dead letter, else `before_ack`."""
    if work.proxy is not None:
        try:
            broker.emit_before("nack" if isinstance(outcome, Dead) else "ack", work.proxy)
        except MiddlewareError as error:
            log.warning("middleware cannot stop a settlement", error=type(error).__name__)


def after_settling(broker: Broker, work: Work, outcome: Outcome) -> None:
    """`after_nack` for a dead letter, else `after_ack`."""
    if work.proxy is not None:
        broker.emit_after("nack" if isinstance(outcome, Dead) else "ack", work.proxy)
