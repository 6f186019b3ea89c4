"""The links of a rendered mail: which schemes and hosts may stand there, and where clicks and opens are counted."""

import html
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from preklic_workers.compose.content import Content, TemplateError

# Templates are held to `name="value"` when they load, and data cannot write a quote: so this finds every one of them.
# (A literal beginning makes the search ten times as fast as one for the names.)
ATTRIBUTE: Final = re.compile(r'="([^"]*)"')
NAMES: Final = ("href", "src", "srcset", "background", "action", "poster", "cite")
_LONGEST: Final = max(map(len, NAMES))
# One match from each attribute whose last letters are of one of these names to the next one, whatever stands between:
# most attributes are a style. It stands at `="` or at the end when the last group comes, which fits there: nothing is
# tried twice, so it is linear. (Possessive repeats would say so, and Python before 3.11.5 matches them wrongly.)
_OTHER: Final = r'[^=]*(?:=(?!")[^=]*)*'
_NAMED: Final = re.compile(rf'{_OTHER}(?:="(?<!(?i:ref|src|set|und|ion|ter|ite)=")[^"]*"{_OTHER})*(?:="([^"]*)"|="|\Z)')
_ALLOWED: Final = re.compile(
    r"(?:https?://[^\s\\\"'<>]+|mailto:[^\s\"'<>]+|tel:\+?[0-9 -]+|#[\w-]*|cid:[\w.@-]+)", re.IGNORECASE
)
BARE: Final = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)


class Tracking(msgspec.Struct, frozen=True):
    """What the person and the purpose allow: `click` makes the URL that stands for link n; `pixel` is its URL.

    `own` are URL beginnings that are never rewritten (unsubscribe, preferences, policy). `targets` are a partner's
    URLs: each goes out as what `redirect` makes of it where clicks are not counted, and in plain text (U4).
    """

    click: Callable[[int, str], str] | None = None
    pixel: str | None = None
    own: tuple[str, ...] = ()
    targets: frozenset[str] = frozenset()
    redirect: Callable[[str], str] = str


class Linked(msgspec.Struct, frozen=True):
    """Text and HTML with their final links, and the web URLs in the HTML as they must stand there, in order."""

    text: str
    html: str
    urls: tuple[str, ...]


def link(content: Content, tracking: Tracking, hosts: frozenset[str] | None = None) -> Linked:
    """Check every link and image of `content`, then rewrite what `tracking` allows; the text part stays plain.

    TemplateError("link") for another scheme than http, https, mailto and tel, ("foreign_host") for a host that is
    not among `hosts`, where those are given.
    """
    text = redirected(content.text, tracking)
    if hosts is not None:
        # Mail programs make links of these by themselves.
        for written in BARE.findall(text):
            check_host(written, hosts)
    urls: list[str] = []
    pieces: list[str] = []
    page, clicks, at = content.html, 0, 0
    for found in _NAMED.finditer(page):
        start = found.start(1) - len('="')
        if found.lastindex is None or not page[max(0, start - _LONGEST) : start].lower().endswith(NAMES):
            continue
        url = html.unescape(found[1])
        check_link(url)
        partners = url in tracking.targets and in_anchor(page, start)
        check_host(url, None if partners else hosts)
        if not _WEB.match(url):
            continue
        if partners or (tracking.click is not None and in_anchor(page, start) and not url.startswith(tracking.own)):
            clicks += 1
            url = tracking.redirect(url) if tracking.click is None else _counted(tracking.click, clicks, url)
            pieces += (page[at : found.start(1)], html.escape(url))
            at = found.end(1)
        urls.append(url)
    page = "".join((*pieces, page[at:]))
    if tracking.pixel is not None:
        page = _with_pixel(page, tracking.pixel)
        urls.append(tracking.pixel)
    return Linked(text, page, tuple(urls))


def redirected(text: str, tracking: Tracking) -> str:
    """Plain text with the partner's URLs as redirects; any other URL stays as it is."""
    if not tracking.targets:
        return text
    return BARE.sub(lambda found: tracking.redirect(found[0]) if found[0] in tracking.targets else found[0], text)


def check_link(url: str) -> None:
    """Refuse every scheme but http, https, mailto, tel and cid (an image in the mail itself).

    A `javascript:` or `data:` URL raises TemplateError.
    """
    if not _ALLOWED.fullmatch(url):
        raise TemplateError("link")


def check_host(url: str, hosts: frozenset[str] | None) -> None:
    """Refuse a web URL whose host is not among `hosts` (None: any)."""
    if hosts is not None and _WEB.match(url) and host_of(url) not in hosts:
        raise TemplateError("foreign_host")


def in_anchor(page: str, at: int) -> bool:
    """Whether the tag that was opened last before `at` is an `a`."""
    start = page.rfind("<", 0, at) + 1
    return page[start : start + 1] in ("a", "A") and page[start + 1 : start + 2].isspace()


def _counted(click: Callable[[int, str], str], number: int, url: str) -> str:
    try:
        return click(number, url)
    except ValueError:
        # Too long or not ASCII for a token: the link works as it is and is not counted.
        return url


def host_of(url: str) -> str:
    """The host of a web URL in lower case; empty where it has none or hides it behind a user name."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return "" if "@" in parts.netloc else (parts.hostname or "")


def _with_pixel(page: str, url: str) -> str:
    image = f'<img src="{html.escape(url)}" width="1" height="1" alt="">\n'
    head, body, tail = page.rpartition("</body>")
    return f"{head}{image}{body}{tail}" if body else f"{page}{image}"
