"""Logs: one JSON line each on stderr, static messages, keys from an allow-list, exceptions without their text.

What a log line may say is decided here and not at the call: an unknown key is dropped, a value that is no short plain
text or number is withheld, and a library's own message is replaced by a marker (only its logger's name and level
stay). So no address reaches a log, whoever forgets what (laws 4 and P1, attack 66).
"""

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator, MutableMapping
from types import TracebackType
from typing import Any, Final

import structlog
from structlog.typing import FilteringBoundLogger

ALLOWED: Final = frozenset(
    {
        "actor",
        "attempt",
        "code",
        "count",
        "enhanced",
        "epoch",
        "error",
        "field",
        "fingerprint",
        "host",
        "job",
        "kind",
        "lane",
        "level",
        "limit",
        "logger",
        "outcome",
        "phase",
        "pid",
        "plan",
        "port",
        "processor",
        "producer",
        "purpose",
        "queue",
        "reason",
        "relay",
        "role",
        "route",
        "seconds",
        "signal",
        "state",
        "status",
        "switch",
        "template",
        "tier",
        "topic",
        "verdict",
        "version",
    }
)
MAX_VALUE: Final = 200  # characters
MAX_FRAMES: Final = 12
WITHHELD: Final = "[withheld]"

# Printable and without "@": an address cannot pass, nor a line end, a colour code or a second JSON object's braces.
_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069@{}]*")
_STATIC: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ,.:;'()/_-]{0,119}")

_Event = MutableMapping[str, Any]


def logger(name: str) -> FilteringBoundLogger:
    """A logger that is safe whatever structlog's global configuration says; `name` is the module's."""
    bound: FilteringBoundLogger = structlog.wrap_logger(
        _Stderr(),
        processors=[render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return bound.bind(logger=name)


def configure() -> None:
    """Set up a process of ours: foreign loggers, warnings and uncaught exceptions take the same safe way."""
    structlog.configure(
        processors=[render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Stderr(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [ForeignHandler(logging.WARNING)]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def render(_logger: Any, level: str, event: _Event) -> str:
    """The last processor: one JSON line of allowed keys, each value cut and checked."""
    line: dict[str, Any] = {"at": _now(), "level": level, "event": static(event.pop("event", ""))}
    line |= exception_fields(event.pop("exc_info", None))
    if isinstance(listed := event.pop("frames", None), list):
        line["frames"] = [plain(frame) for frame in listed[-MAX_FRAMES:]]
    line |= {key: plain(value) for key, value in event.items() if key in ALLOWED and value is not None}
    dropped = sum(key not in ALLOWED for key in event)
    return json.dumps(line | ({"dropped": dropped} if dropped else {}))


def static(message: object) -> str:
    """The message if it can be static text, else the marker: attributes belong beside it, not into it."""
    return message if isinstance(message, str) and _STATIC.fullmatch(message) else WITHHELD


def plain(value: object) -> str | int | float | bool:
    """A number or short printable text as it is; long text cut; anything that could carry more withheld."""
    if isinstance(value, bool | int | float):
        return value if abs(value) < 1 << 53 else WITHHELD
    if isinstance(value, str):
        cut = value if len(value) <= MAX_VALUE else value[: MAX_VALUE - 1] + "…"
        return cut if _PLAIN.fullmatch(cut) else WITHHELD
    return WITHHELD


def exception_fields(exc_info: object) -> dict[str, Any]:
    """Type, chain of causes, frames and code of an exception; never its text, which quotes what it choked on."""
    error = _exception(exc_info)
    if error is None:
        return {}
    fields: dict[str, Any] = {"error": _type(error), "frames": list(frames(error.__traceback__))[-MAX_FRAMES:]}
    if causes := [_type(cause) for cause in _causes(error)]:
        fields["causes"] = causes
    code = getattr(error, "code", None)
    return fields | ({"code": plain(code)} if isinstance(code, str | int) else {})


def frames(traceback: TracebackType | None) -> Iterator[str]:
    """Each frame as `module:line function`, outermost first; no source text and no values."""
    while traceback is not None:
        frame = traceback.tb_frame
        yield f"{frame.f_globals.get('__name__', '?')}:{traceback.tb_lineno} {frame.f_code.co_name}"
        traceback = traceback.tb_next


class ForeignHandler(logging.Handler):
    """Writes a library's record as logger, level, and where an exception came from; its message is dropped."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line, or none when stderr is gone."""
        fields = {"event": "foreign message", "logger": record.name, "exc_info": record.exc_info}
        _Stderr().msg(render(None, record.levelname.lower(), fields))


class _Stderr:
    """Writes to whatever stderr is now (tests and daemons replace it), one line in one call."""

    def msg(self, line: str) -> None:
        # A log that cannot be written must not fail the job that it speaks of.
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = exception = msg


def _uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    fields: _Event = {"event": "uncaught exception", "exc_info": (kind, error, traceback)}
    _Stderr().msg(render(None, "critical", fields))


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen and len(seen) < MAX_FRAMES:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _type(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _now() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
