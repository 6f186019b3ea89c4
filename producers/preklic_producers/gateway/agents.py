"""A user agent reduced to its class. The text itself is never kept, sent on or logged (U12)."""

import re
from collections.abc import Mapping
from typing import Final, Literal

Agent = Literal["browser", "proxy", "scanner", "empty", "other"]

# The first match decides. Image proxies fetch for mail programs, often before anybody looks.
_RULES: Final[tuple[tuple[Agent, re.Pattern[str]], ...]] = (
    ("proxy", re.compile(r"GoogleImageProxy|ggpht\.com|YahooMailProxy|^Mozilla/5\.0$|DuckDuckGo-Email", re.IGNORECASE)),
    (
        "scanner",
        re.compile(
            r"bot\b|crawl|spider|scan|preview|headless|barracuda|proofpoint|mimecast|symantec|trendmicro|safelinks|"
            r"python|curl|wget|go-http|java/|libwww|okhttp|axios|node-fetch",
            re.IGNORECASE,
        ),
    ),
    ("browser", re.compile(r"Mozilla/.*(Firefox|Chrome|Safari|Edg|Trident|Thunderbird)/|Microsoft Outlook|Opera/")),
)
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
    for agent, pattern in _RULES:
        if pattern.search(text):
            return agent
    return "other"
