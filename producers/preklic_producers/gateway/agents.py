"""A user agent reduced to its class. The text itself is never kept, sent on or logged (U12)."""

import re
from collections.abc import Mapping
from typing import Final, Literal

Agent = Literal["browser", "proxy", "scanner", "empty", "other"]

# Image proxies fetch for mail programs, often before anybody looks. Words in lower case: a search for each is ten times
# as fast as one expression that ignores case.
_PROXIES: Final = ("googleimageproxy", "ggpht.com", "yahoomailproxy", "duckduckgo-email")
_BARE: Final = "mozilla/5.0"
_SCANNERS: Final = (
    *("crawl", "spider", "scan", "preview", "headless", "barracuda", "proofpoint", "mimecast", "symantec"),
    *("trendmicro", "safelinks", "python", "curl", "wget", "go-http", "java/", "libwww", "okhttp", "axios"),
    "node-fetch",
)
_BOT: Final = re.compile(r"bot\b")
_BROWSER: Final = re.compile(r"Mozilla/.*(Firefox|Chrome|Safari|Edg|Trident|Thunderbird)/|Microsoft Outlook|Opera/")
_LONGEST: Final = 1024


def agent_of(headers: Mapping[str, str]) -> Agent:
    """The class of the program behind a request, from its headers.

    >>> agent_of({"user-agent": "Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/140.0"})
    'browser'
    >>> agent_of({})
    'empty'
    """
    if "prefetch" in headers.get("sec-purpose", headers.get("purpose", "")):
        return "proxy"
    text = headers.get("user-agent", "")[:_LONGEST]
    if not text.strip():
        return "empty"
    lower = text.lower()
    if lower == _BARE or _has(lower, _PROXIES):
        return "proxy"
    if _has(lower, _SCANNERS) or ("bot" in lower and _BOT.search(lower)):
        return "scanner"
    return "browser" if _BROWSER.search(text) else "other"


def _has(text: str, words: tuple[str, ...]) -> bool:
    for word in words:  # noqa: SIM110 - `any` over a generator takes twice the time, at each click
        if word in text:
            return True
    return False
