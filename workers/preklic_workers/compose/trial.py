"""A template tried with sample data: a mail that goes nowhere, and what would be wrong with it. Pure.

The mail is to a person who is not there, its links are sealed with a key that is forgotten at once, and nothing signs
it; all else is as in a real one.
"""

import datetime as dt
import html
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.jobs import SendJob, SendPayload
from preklic_shared.registry import Purpose, Registry
from preklic_shared.tokens import TokenKeys
from preklic_workers.compose.composer import Composer, House, NotComposed
from preklic_workers.compose.links import BARE
from preklic_workers.compose.mails import Mail
from preklic_workers.compose.reading import Read, read
from preklic_workers.compose.templates import Template, Templates
from preklic_workers.permission import Permission, Person

MAX_PAGE: Final = 102_000  # octets of HTML: Gmail cuts what is longer, and the way out with it
_SAMPLE: Final = "sample.json"
_TO: Final = "oseba@example.org"
_HREF: Final = re.compile(r'\shref="(https?://[^"]*)"', re.IGNORECASE)


@dataclass(frozen=True)
class Trial:
    """The means of a trial: where templates lie, what they are for, and whose house it is."""

    folder: Path
    templates: Templates
    registry: Registry
    house: House

    @cached_property
    def composer(self) -> Composer:
        """What makes the mails; TemplateError where templates and purposes do not go together."""
        return Composer(self.templates, self.registry, TokenKeys({1: secrets.token_bytes(32)}, 1), self.house)

    def mail(self, template: Template, data: Mapping[str, Any]) -> Mail | NotComposed:
        """One mail of the template's first purpose."""
        purpose = self.purpose(template)
        if purpose is None:
            return NotComposed("purpose_denied", "purposes")
        now = dt.datetime.now(dt.UTC)
        at = int(now.timestamp() * 1000)
        job = SendJob(
            id=new_id(),
            producer="preview",
            at=at,
            expires=at + 1,
            purpose=purpose.key,
            template=base_of(template),
            key="",
            sealed="",
        )
        payload = SendPayload(to=_TO, data={**data, "language": template.front.language})
        pending = Permission("pending", now, job.id, 1)
        person = Person(id="", pid=secrets.token_bytes(16), permissions={purpose.key: pending})
        return self.composer.compose(job, payload, purpose, person, parse(_TO), _profile(template, data))

    def purpose(self, template: Template) -> Purpose | None:
        """What a template's mails are for."""
        return self.registry.get(template.front.purposes[0]) if template.front.purposes else None

    def sample(self, template: Template) -> dict[str, Any] | None:
        """What lies beside the template, or beside the one whose variant it is, as data to try it with."""
        for name in (template.name, base_of(template)):
            file = self.folder / name / _SAMPLE
            if file.is_file():
                return dict(json.loads(file.read_text("utf-8")))
        return {} if not template.front.fields else None

    def findings(self, template: Template) -> list[str]:
        """What is wrong with a template; nothing when it can go out."""
        data = self.sample(template)
        if data is None:
            return [f"{_SAMPLE} is missing: the template cannot be tried"]
        mail = self.mail(template, data)
        if isinstance(mail, NotComposed):
            return [f"{mail.reason}: {mail.field}"]
        purpose = self.purpose(template)
        return [*self._languages(template), *faults(read(mail), mail, purpose, self.house.public_url)]

    def _languages(self, template: Template) -> Iterator[str]:
        if template.name == base_of(template):
            there = {one.front.language for one in self.templates.variants(template.name)}
            for missing in sorted({one.front.language for one in self.templates} - there):
                yield f"there is no variant in {missing}"


def base_of(template: Template) -> str:
    """The name under which jobs ask for a template: without the language of a variant."""
    return template.name.removesuffix(f"-{template.front.language}")


def faults(seen: Read, mail: Mail, purpose: Purpose | None, ours: str) -> Iterator[str]:
    """What a reader would miss: words, links in the text part, the way out, or the end of a page that is cut."""
    if not seen.text.strip():
        yield "the text part is empty"
    if not mail.unsubscribe and purpose is not None and purpose.revocable:
        yield "there is no one-click unsubscribe"
    written = set(BARE.findall(seen.text))
    for url in dict.fromkeys(map(html.unescape, _HREF.findall(seen.page))):
        if not url.startswith(ours) and url not in written:
            yield "the text part lacks a link of the HTML"
    if mail.unsubscribe and not (mail.unsubscribe in seen.text and mail.unsubscribe in seen.page):
        yield "the unsubscribe link does not stand in both parts"
    if len(seen.page.encode()) > MAX_PAGE:
        yield f"the HTML has more than {MAX_PAGE} octets: Gmail would cut it"


def _profile(template: Template, data: Mapping[str, Any]) -> dict[str, Any]:
    return {field: data[field] for field in template.front.profile if field in data}
