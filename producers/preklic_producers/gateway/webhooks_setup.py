"""The providers that the settings name, opened once: what is wrong with a key is said before anything is served."""

from pathlib import Path

from preklic_producers.feedback import mailgun, postmark, sendgrid, ses
from preklic_producers.feedback.ours import Ours
from preklic_producers.gateway.webhook_source import Source
from preklic_producers.gateway.webhooks_ses import Ses
from preklic_producers.gateway.webhooks_signed import Mailgun, Postmark, Sendgrid
from preklic_shared.settings import Settings, SettingsError
from preklic_shared.tokens import TokenKeys


def open_sources(settings: Settings, keys: TokenKeys, senders: frozenset[str]) -> dict[str, Source]:
    """Each provider by its name in the path; SettingsError names the setting at fault."""
    hooks, ours = settings.webhooks, Ours(settings.mail_domain, keys, senders=senders)
    production = settings.environment == "production"
    sources: dict[str, Source] = {}
    if hooks.ses is not None:
        sources[ses.SOURCE] = Ses(hooks.ses.topics, ours)
    if hooks.sendgrid is not None:
        try:
            key = sendgrid.key_of(hooks.sendgrid.public_key)
        except ValueError as error:
            raise SettingsError("WEBHOOKS__SENDGRID__PUBLIC_KEY", f"{error}: copy it from SendGrid's console") from None
        sources[sendgrid.SOURCE] = Sendgrid(key, ours)
    if hooks.mailgun is not None:
        secret = _secret(hooks.mailgun.signing_key_file, "MAILGUN__SIGNING_KEY_FILE", private=production)
        sources[mailgun.SOURCE] = Mailgun(secret.encode(), ours)
    if hooks.postmark is not None:
        if production and not settings.trusted_proxies:
            raise SettingsError(
                "TRUSTED_PROXIES", "Postmark's password must come over TLS: name the proxy that ends it"
            )
        secret = _secret(hooks.postmark.password_file, "POSTMARK__PASSWORD_FILE", private=production)
        sources[postmark.SOURCE] = Postmark(hooks.postmark.username, secret, ours, tls=production)
    return sources


def _secret(path: Path, name: str, *, private: bool) -> str:
    setting = f"WEBHOOKS__{name}"
    try:
        secret = path.read_text(encoding="utf-8").strip()
        readable = path.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(setting, f"cannot read the file ({type(error).__name__})") from None
    if len(secret) < 16:
        raise SettingsError(setting, "holds fewer than 16 characters: anybody could guess it")
    if private and readable:
        raise SettingsError(setting, "production needs a file that its owner alone can read (chmod 600)")
    return secret
