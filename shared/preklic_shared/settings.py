"""Settings: environment variables `PREKLIC_*` (nested with `__`) over the TOML file that `PREKLIC_CONFIG` names.

In the file the names are the same in lower case. An unknown name is refused, never ignored.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Meta, Struct

from preklic_shared.relay_settings import Limit, Relay, relay_fault
from preklic_shared.secret_files import SecretFileError, with_secrets
from preklic_shared.stamp_settings import Cosigner, Stamps, fault_in_vouchers
from preklic_shared.webhook_settings import Webhooks
from preklic_shared.webhooks_out import WebhookOut, fault_in

PREFIX = "PREKLIC_"
LOCAL_MONGO = "mongodb://127.0.0.1:27017/?replicaSet=rs0"
_UNCHECKED = ("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames")
Right = Literal["hold", "disclose", "breakglass"]


class SettingsError(ValueError):
    """A setting is missing or wrong; `name` is its environment name."""

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(f"{PREFIX}{name}: {hint}")
        self.name = name


class Processor(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A company that sends for the controller, with the contract that allows it. Dates are ISO 8601 days."""

    name: str
    contract: str
    country: str
    valid_from: str
    valid_to: str


class ApiToken(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bearer token of the intake API: the SHA-256 of the token in hex, never the token."""

    name: str
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[str, ...]


class Officer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person who may decide about others' data: the public Ed25519 key (hex) that signs it, and the rights."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,64}$")]
    key: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    may: tuple[Right, ...]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of all roles; a role reads what it needs."""

    amqp_url: str = "amqp://guest:guest@127.0.0.1:5672/%2F"
    management_url: str | None = None
    mongo_url: str = LOCAL_MONGO
    mongo_database: str = "preklic"
    key_dir: Path | None = None
    state_dir: Path | None = None
    epoch_days: Annotated[int, Meta(ge=0, le=34)] = 30
    sealing_keys: Path | None = None
    sealing_pin: str | None = None
    registry: Path | None = None
    template_dir: Path | None = None
    public_url: str = "http://127.0.0.1:8080"
    gateway_url: str = "http://127.0.0.1:8080"
    gateway_token: str | None = None
    token_file: Path | None = None
    mail_domain: str = "localhost.localdomain"
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    outbox: Path | None = None
    bulk_closes_after: Annotated[float, Meta(ge=5, le=86_400)] = 60
    concurrency: Annotated[int, Meta(ge=1, le=4096)] = 256
    drain_seconds: Annotated[float, Meta(ge=0, le=900)] = 25
    trusted_proxies: tuple[str, ...] = ()
    own_hosts: tuple[str, ...] = ()
    relays: tuple[Relay, ...] = ()
    limits: tuple[Limit, ...] = ()
    processors: tuple[Processor, ...] = ()
    tokens: tuple[ApiToken, ...] = ()
    officers: tuple[Officer, ...] = ()
    webhooks: Webhooks = Webhooks()
    officer_key: Path | None = None
    operator_token: str | None = None
    webhooks_out: tuple[WebhookOut, ...] = ()
    stamps: Stamps | None = None
    witness: Path | None = None
    cosigner: Cosigner | None = None
    environment: Literal["development", "production"] = "development"

    @property
    def producer(self) -> str:
        """The producer's name: the AMQP user, which the broker itself checks."""
        return urlsplit(self.amqp_url).username or "guest"


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from `environ` over the file named there. Raises SettingsError that names the setting."""
    try:
        environ = with_secrets(environ, PREFIX)
    except SecretFileError as error:
        raise SettingsError(error.name, str(error)) from None
    values = _from_file(environ.get(f"{PREFIX}CONFIG"))
    if "operator_token" in values:
        raise SettingsError("OPERATOR_TOKEN", "is one person's: name its file by OPERATOR_TOKEN_FILE, not in this one")
    for name, text in environ.items():
        if name.startswith(PREFIX) and name != f"{PREFIX}CONFIG":
            _put(values, name.removeprefix(PREFIX).lower().split("__"), text)
    try:
        settings = msgspec.convert(_lists(values), Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(*_fault(str(error))) from None
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """What no type says. Raises SettingsError."""
    check_officers(settings.officers)
    if misfit := relay_fault(settings.relays, settings.limits):
        raise SettingsError(*misfit)
    if fault := fault_in(settings.webhooks_out, production=settings.environment == "production"):
        raise SettingsError("WEBHOOKS_OUT", fault)
    if misfit := fault_in_vouchers(settings.stamps, settings.cosigner):
        raise SettingsError(*misfit)
    if settings.environment == "production":
        _check_production(settings)


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError("expected a path")


def _from_file(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError("CONFIG", f"cannot read the TOML file {path} ({type(error).__name__})") from None


def _put(values: dict[str, Any], path: list[str], text: str) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise SettingsError("__".join(path).upper(), "is set both whole and in parts")
    values[path[-1]] = text


def _lists(values: dict[str, Any]) -> dict[str, Any]:
    # RELAYS__0__HOST arrives as {"relays": {"0": {"host": ...}}}: a list in the order of its numbers.
    for name in ("relays", "limits", "processors", "tokens", "officers", "webhooks_out"):
        group = values.get(name)
        if isinstance(group, dict):
            values[name] = [group[key] for key in sorted(group, key=lambda text: int(text) if text.isdigit() else 0)]
    for group, name in (("tokens", "scopes"), ("officers", "may"), ("relays", "purposes"), ("webhooks_out", "events")):
        for one in values.get(group) or ():
            if isinstance(one, dict) and isinstance(one.get(name), str):
                one[name] = one[name].split(",")
    for name in ("trusted_proxies", "own_hosts"):
        if isinstance(values.get(name), str):
            values[name] = [part for part in values[name].split(",") if part]
    hooks = values.get("webhooks")
    ses = hooks.get("ses") if isinstance(hooks, dict) else None
    if isinstance(ses, dict) and isinstance(ses.get("topics"), str):
        ses["topics"] = ses["topics"].split(",")
    return values


def _fault(message: str) -> tuple[str, str]:
    # The message may show an enumerated value, never a secret: those are free text and cannot fail to convert.
    text, _, path = message.partition(" - at `$.")
    place = path.rstrip("`").replace("[...]", "").replace("[", "__").replace("]", "").replace(".", "__")
    if "unknown field" in text:
        return text.split("`")[1].upper(), "is not a setting; see the list in the README"
    return place.upper() or "CONFIG", text[0].lower() + text[1:]


def check_officers(officers: Sequence[Officer]) -> None:
    """Refuse one person under two names and two persons with one key: what needs two people would need one."""
    for field in ("name", "key"):
        if len({getattr(one, field) for one in officers}) < len(officers):
            raise SettingsError(
                "OFFICERS", f"two officers have the same {field}; each has a name and a key of their own"
            )


def _check_production(settings: Settings) -> None:
    """Attack 68: production refuses what is convenient in development."""
    url = urlsplit(settings.amqp_url)
    if url.scheme != "amqps":
        raise SettingsError("AMQP_URL", "production needs amqps://")
    if url.username in (None, "guest"):
        raise SettingsError("AMQP_URL", "production needs a user of its own, not guest")
    # A gateway has no database: what nobody set is the one on this very host.
    if settings.mongo_url != LOCAL_MONGO and not _is_private(settings.mongo_url):
        raise SettingsError("MONGO_URL", "production needs tls=true, and a certificate that is checked")
    for relay in settings.relays:
        if relay.tls != "required":
            raise SettingsError("RELAYS", f'production needs tls = "required" for the relay {relay.name}')
    if not settings.public_url.startswith("https://"):
        raise SettingsError("PUBLIC_URL", "production needs https://")


def _is_private(mongo_url: str) -> bool:
    """Whether a connection string asks for TLS (mongodb+srv does unless told otherwise) and for all of its checks."""
    try:
        url = urlsplit(mongo_url)
    except ValueError:  # brackets that do not close: what nobody can read asks for nothing
        return False
    options = {name.lower(): value.lower() for name, value in parse_qsl(url.query, keep_blank_values=True)}
    tls = options.get("tls", options.get("ssl", "true" if url.scheme == "mongodb+srv" else "false"))
    return tls == "true" and not any(options.get(name, "false") != "false" for name in _UNCHECKED)
