"""A person's mailbox in the demo: the mail as a client would see it, with its pixel, links and one-click header."""

import re
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from preklic_stack.mailsink import MailSink

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
_HREF = re.compile(r'href="([^"]+)"')
_PIXEL = re.compile(r'src="([^"]+\.gif)"')


@dataclass(frozen=True)
class Letter:
    """One received mail. `job` is its job id, `subject` readable, `html` its HTML part."""

    job: str
    to: str
    subject: str
    html: str
    one_click: str | None

    @property
    def pixel(self) -> str | None:
        """The URL of the pixel, if there is one."""
        found = _PIXEL.search(self.html)
        return found[1].replace("&amp;", "&") if found else None

    def links(self, part: str) -> list[str]:
        """The links whose URL holds `part`."""
        return [url.replace("&amp;", "&") for url in _HREF.findall(self.html) if part in url]


def letters(sink: MailSink) -> list[Letter]:
    """Everything that was received, the oldest first."""
    return [letter_of(mail) for mail in sink.mails()]


def letter_of(mail: dict[str, Any]) -> Letter:
    """A kept mail of the sink, read the way a client reads it."""
    message = BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(mail["raw"])
    part = message.get_body(("html",))
    header = str(message.get("List-Unsubscribe", ""))
    return Letter(
        job=mail["job"],
        to=mail["to"][0],
        subject=str(message["Subject"]),
        html=part.get_content() if part is not None else "",
        one_click=header.partition(",")[0].strip("<>") or None,
    )


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_keywords: Any) -> None:
        """Do not follow: the demo shows where a link leads."""


_open = build_opener(_Stay).open


def visit(url: str, form: dict[str, str] | None = None) -> tuple[int, str]:
    """GET, or POST of a form, as a browser does; status and Location (or the page)."""
    data = None if form is None else urlencode(form).encode()
    request = Request(url, data=data, headers={"User-Agent": BROWSER})
    try:
        with _open(request, timeout=10) as answer:
            return answer.status, answer.headers.get("Location", "") or answer.read().decode("utf-8", "replace")
    except HTTPError as error:
        return error.code, error.headers.get("Location", "")
