"""Partners' mail (clause U4): what its template may hold, and where its links may lead in the end. Pure.

All that such a mail shows or links to is on the company's own hosts. A link to the partner stands whole and literal in
the template, on a host that the front matter names under `destinations`; it goes out as a redirect of the company's
own. So the target is the same, byte for byte, for every recipient, and the partner learns from it nothing of anybody.
"""

import html
import re
from collections.abc import Iterable, Mapping
from typing import Final

from preklic_shared.redirects import redirect_to
from preklic_workers.compose.content import TemplateError
from preklic_workers.compose.links import ATTRIBUTE, BARE, NAMES, host_of, in_anchor

# Links to ourselves, which the surroundings of every template bring.
_OURS: Final = re.compile(r"\{\{ *(?:unsubscribe_url|preferences_url|policy_url) *\}\}")
_NAMESPACE: Final = re.compile(r'xmlns(?::\w+)?="[^"]*"')
# What loads or leads without being an attribute that `links` sees.
_HIDDEN: Final = re.compile(r"url\(|@import|http-equiv|<base\b", re.IGNORECASE)
_TAIL: Final = tuple(".,;:!?)")


def targets_of(
    name: str, destinations: Iterable[str], sources: Mapping[str, str], own: frozenset[str]
) -> frozenset[str]:
    """The partner's URLs that the template links to. TemplateError names the file, and what is wrong there.

    `sources`: the template's own files and its layouts, by name. `destinations`: the partner's hosts, in lower case.
    """
    hosts = frozenset(destinations)
    found: set[str] = set()
    for file, source in sources.items():
        place = f"{name}: {file}"
        if file.endswith(".html.j2"):
            found |= _in_html(place, source, hosts, own)
        else:
            found |= {url for url in BARE.findall(source) if is_target(place, url, hosts, own)}
    return frozenset(found)


def is_target(place: str, url: str, destinations: frozenset[str], own: frozenset[str]) -> bool:
    """Whether a link leads to the partner; TemplateError when it leads to anybody else, or not the same for all."""
    if (problem := fault(url, destinations, own)) is not None:
        raise TemplateError(f"{place}: {problem}")
    return host_of(url) not in own


def fault(url: str, destinations: frozenset[str], own: frozenset[str]) -> str | None:
    """What is wrong with a link in a partner's template; None when it may stand there."""
    if "{" in url or "}" in url:
        return "a link to a partner holds a variable; it must be the same for every recipient"
    host = host_of(url)
    if host in own:
        return None
    if host not in destinations:
        return "foreign_host: not the company's own, and not among the destinations of the front matter"
    if url.endswith(_TAIL):
        return "a link ends with a sign of punctuation; put a space before it"
    try:
        redirect_to(url).pack()
    except ValueError as error:
        return str(error)
    return None


def _in_html(place: str, source: str, destinations: frozenset[str], own: frozenset[str]) -> set[str]:
    if _HIDDEN.search(source):
        raise TemplateError(f"{place}: url(), @import, http-equiv and base are not for partners' mail")
    found: set[str] = set()
    for attribute in ATTRIBUTE.finditer(source):
        value = html.unescape(attribute[1])
        if not source[: attribute.start()].lower().endswith(NAMES) or _OURS.fullmatch(value):
            continue
        if value.startswith(("mailto:", "tel:", "#", "cid:")) and "{" not in value:
            continue
        reachable = destinations if in_anchor(source, attribute.start()) else frozenset[str]()
        if is_target(place, value, reachable, own):
            found.add(value)
    for written in BARE.findall(_NAMESPACE.sub("", source)):
        if html.unescape(written) not in found:
            is_target(place, html.unescape(written), frozenset(), own)
    return found
