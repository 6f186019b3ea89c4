"""From a job, its purpose and its person to the bytes of one mail: what stands in it follows from the registry."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from preklic_shared.addresses import Address, BadAddress, parse
from preklic_shared.jobs import SendJob, SendPayload
from preklic_shared.redirects import redirect_to
from preklic_shared.registry import Purpose, Registry
from preklic_shared.return_paths import Bounce, Leave, mint
from preklic_shared.tokens import Click, Confirm, Open, Preference, TokenKeys, Unsubscribe
from preklic_workers.compose.asked import check_asked
from preklic_workers.compose.content import PROFILE, TemplateError
from preklic_workers.compose.dkim import Signers
from preklic_workers.compose.labels import UNLABELLED, Labels, complaints_to
from preklic_workers.compose.links import Tracking, host_of, link
from preklic_workers.compose.mails import Mail
from preklic_workers.compose.mime import BadContent, Letter, Mailbox, assemble
from preklic_workers.compose.partners import targets_of
from preklic_workers.compose.parts import beside
from preklic_workers.compose.templates import Template, Templates
from preklic_workers.compose.verify import verify
from preklic_workers.permission import Person, may_track

SHIPPED: Final = Path(__file__).parents[1] / "templates"
UNSIGNED: Final = Signers()
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class NotComposed:
    """There is no mail: `reason` is template_error, bad_content or unverified, `field` the place and no value."""

    reason: str
    field: str


@dataclass(frozen=True, slots=True)
class House:
    """Where a mail comes from and leads to.

    `public_url` is the gateway's, `mail_domain` takes the bounces, `hosts` are the company's other hosts.
    """

    public_url: str
    mail_domain: str
    address: str = ""
    hosts: frozenset[str] = frozenset()

    @property
    def own_hosts(self) -> frozenset[str]:
        """Every host that a partner's mail may show or lead to."""
        return self.hosts | {host_of(self.public_url), self.mail_domain, f"www.{self.mail_domain}"}


class Composer:
    """Composes mails and reads them back. Pure but for the clock in a confirmation's token; safe to share."""

    def __init__(
        self,
        templates: Templates,
        registry: Registry,
        tokens: TokenKeys,
        house: House,
        signers: Signers = UNSIGNED,
    ) -> None:
        """TemplateError when a purpose names a template that is missing or does not name the purpose."""
        self._templates = templates
        self._registry = registry
        self._tokens = tokens
        self._house = house
        self._signers = signers
        self._url = house.public_url.rstrip("/")
        self._own_hosts = house.own_hosts
        self._company = {"name": registry.controller, "address": house.address}
        self._targets: dict[str, frozenset[str]] = {}
        self._check()

    def _check(self) -> None:
        for purpose in self._registry.purposes.values():
            for name in purpose.templates:
                named = self._templates.get(name)
                if named is None or purpose.key not in named.front.purposes:
                    raise TemplateError(f"{name}: is missing, or not for the purpose {purpose.key}")
                if purpose.partners:
                    self._check_partners(name)
        for template in self._templates:
            for key in template.front.purposes:
                check_asked(template, self._registry.get(key))

    def asked(self, job: SendJob, payload: SendPayload) -> Sequence[str]:
        """The fields of the person's profile that the job's template asks for."""
        return self._templates.variant(job.template, payload.data.get("language")).front.profile

    def compose(
        self,
        job: SendJob,
        payload: SendPayload,
        purpose: Purpose,
        person: Person,
        address: Address,
        profile: Mapping[str, Any] = NOTHING,
        labels: Labels = UNLABELLED,
    ) -> Mail | NotComposed:
        """The mail, verified byte for byte, or why there is none. `payload.data["language"]` chooses the variant.

        `profile` makes it individual; where it is empty the template's general variant goes out. `labels` are of the
        relay that it takes.
        """
        try:
            mail = self._assemble(job, payload, purpose, person, address, profile, labels)
        except TemplateError as error:
            return NotComposed("template_error", error.field)
        except BadContent as error:
            return NotComposed("bad_content", error.field)
        fault = verify(mail)
        return self._signed(mail, purpose) if fault is None else NotComposed("unverified", fault)

    def _signed(self, mail: Mail, purpose: Purpose) -> Mail:
        assert purpose.sender is not None
        return self._signers.sign(mail, purpose.sender.address.rpartition("@")[2], int(time.time()))

    def _assemble(
        self,
        job: SendJob,
        payload: SendPayload,
        purpose: Purpose,
        person: Person,
        address: Address,
        profile: Mapping[str, Any],
        labels: Labels,
    ) -> Mail:
        unsubscribe = self._unsubscribe(job, purpose, person)
        surroundings = {**self._surroundings(job, purpose, person, unsubscribe), PROFILE: profile}
        template = self._variant(job, payload, purpose)
        content = template.render(payload.data, surroundings, job.variant)
        hosts = self._own_hosts if purpose.partners else None
        tracking = self._tracking(job, purpose, person, self._targets.get(template.name, frozenset()))
        linked = link(content, tracking, hosts)
        letter = self._letter(job, payload, purpose, address, content.subject, unsubscribe)
        files = beside(template.images, payload.attachments)
        return assemble(letter, linked.text, linked.html, linked.urls, files, labels.fields(job.id))

    def _letter(
        self,
        job: SendJob,
        payload: SendPayload,
        purpose: Purpose,
        address: Address,
        subject: str,
        unsubscribe: str | None,
    ) -> Letter:
        assert purpose.sender is not None
        return Letter(
            job=job.id,
            sender=Mailbox(purpose.sender.address, purpose.sender.name),
            recipient=Mailbox(address.text),
            subject=subject,
            at=time.time(),
            bounce=mint(self._tokens, Bounce(job.id), self._house.mail_domain),
            reply_to=_reply_to(payload.reply_to),
            unsubscribe=unsubscribe,
            list_id=purpose.list_id or None,
            feedback=f"{purpose.key}:preklic",
            automatic=not purpose.list_id,
            leave=mint(self._tokens, Leave(job.id), self._house.mail_domain) if unsubscribe is not None else None,
            complaints=complaints_to(self._house.mail_domain, purpose.sender.address) if purpose.marketing else None,
        )

    def _variant(self, job: SendJob, payload: SendPayload, purpose: Purpose) -> Template:
        template = self._templates.variant(job.template, payload.data.get("language"))
        if purpose.key not in template.front.purposes:
            raise TemplateError("language")  # what it names is a template of another purpose
        return template

    def _unsubscribe(self, job: SendJob, purpose: Purpose, person: Person) -> str | None:
        if not purpose.revocable:
            return None
        return f"{self._url}/u/{self._tokens.mint(Unsubscribe(job.id, person.pid, purpose.key))}"

    def _surroundings(
        self, job: SendJob, purpose: Purpose, person: Person, unsubscribe: str | None
    ) -> Mapping[str, Any]:
        return {
            "company": self._company,
            "policy_url": f"{self._url}/policy",
            "preferences_url": f"{self._url}/p/{self._tokens.mint(Preference(job.id, person.pid))}",
            "unsubscribe_url": unsubscribe or "",
            "confirm_url": self._confirm(purpose, person) if job.template == purpose.confirm else "",
        }

    def _confirm(self, purpose: Purpose, person: Person) -> str:
        """The link that turns this purpose's pending grant into a yes; it is as old as this mail (law 5)."""
        said = person.permissions.get(purpose.key)
        if said is None:
            raise TemplateError("confirm_url")
        token = Confirm(said.job, person.pid, purpose.key, int(time.time()))
        return f"{self._url}/confirm/{self._tokens.mint(token)}"

    def _check_partners(self, name: str) -> None:
        for each in self._templates.variants(name):
            sources = self._templates.sources(each.name)
            self._targets[each.name] = targets_of(each.name, each.front.destinations, sources, self._own_hosts)

    def _redirect(self, url: str) -> str:
        """Our link to a partner's page: the same for everybody, and it says nothing of whom it was sent to."""
        return f"{self._url}/c/{self._tokens.mint(redirect_to(url))}"

    def _tracking(self, job: SendJob, purpose: Purpose, person: Person, targets: frozenset[str]) -> Tracking:
        """Clicks and opens are each counted only with a permission of their own (U12)."""
        if not purpose.tracking:
            return Tracking(targets=targets, redirect=self._redirect)

        def click(number: int, url: str) -> str:
            return f"{self._url}/c/{self._tokens.mint(Click(job.id, person.pid, number, url))}"

        pixel = None
        if may_track(person, "engagement.opens"):
            pixel = f"{self._url}/o/{self._tokens.mint(Open(job.id, person.pid))}.gif"
        return Tracking(
            click=click if may_track(person, "engagement.clicks") else None,
            pixel=pixel,
            own=(f"{self._url}/",),
            targets=targets,
            redirect=self._redirect,
        )


def _reply_to(text: str | None) -> Mailbox | None:
    if text is None:
        return None
    try:
        return Mailbox(parse(text).text)
    except BadAddress:
        raise BadContent("Reply-To") from None
