"""RabbitMQ's management API, read only: what AMQP does not tell. The user is the one of PREKLIC_AMQP_URL."""

import base64
import datetime as dt
import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

from preklic_shared.settings import Settings

SECONDS: Final = 5.0
_MOST: Final = 64 * 1024 * 1024  # octets of an answer


class NoManagement(Exception):
    """It cannot be asked; the message says why, and `mend` what to do."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Answer:
    """The value, and what the broker's clock said (whole seconds)."""

    status: int
    value: Any
    date: dt.datetime | None


class Management:
    """Reads below `/api`. `vhost` is quoted already. Raises NoManagement where no address is set."""

    def __init__(self, config: Settings) -> None:
        if config.management_url is None or not config.management_url.startswith(("http://", "https://")):
            mend = "set PREKLIC_MANAGEMENT_URL (http://host:15672)"
            raise NoManagement("the management API was not asked: its address is not set", mend)
        parts = urlsplit(config.amqp_url)
        login = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._url = config.management_url.rstrip("/")
        self._headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
        self.vhost = quote(unquote(parts.path[1:]) or "/", safe="")

    def get(self, path: str) -> Answer:
        """One answer; a refusal by status is NoManagement, but for 503, which some checks answer with."""
        request = Request(f"{self._url}/api/{path}", headers=self._headers)  # noqa: S310 -- http or https, as set
        try:
            with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 -- likewise
                return _answer(answer.status, answer.read(_MOST), answer.headers["Date"])
        except HTTPError as error:
            if error.code == 503:
                return _answer(503, error.read(_MOST), error.headers["Date"])
            mend = "run it as the AMQP user topology" if error.code in {401, 403} else "look into the broker's log"
            raise NoManagement(f"the management API refuses {path.partition('/')[0]} ({error.code})", mend) from None
        except (URLError, OSError, ValueError) as error:
            mend = "is its plug-in on (rabbitmq-plugins enable rabbitmq_management), and PREKLIC_MANAGEMENT_URL right?"
            raise NoManagement(f"the management API does not answer: {type(error).__name__}", mend) from None


def _answer(status: int, body: bytes, date: str | None) -> Answer:
    return Answer(status, json.loads(body) if body else None, parsedate_to_datetime(date) if date else None)
