"""The gateway's ASGI application: its routes, and the parts that live as long as it does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from preklic_producers.courier import Unavailable
from preklic_producers.drafts import Drafter
from preklic_producers.fields import Rejected
from preklic_producers.gateway import campaigns, health, intake, openapi, partners, preferences, public, webhooks
from preklic_producers.gateway.ask import Asker
from preklic_producers.gateway.clients import MISSES_A_MINUTE, Ceiling, Network, networks
from preklic_producers.gateway.context import Gateway
from preklic_producers.gateway.delivery import Delivery
from preklic_producers.gateway.error_pages import answer_broken, answer_error, answer_method, answer_missing
from preklic_producers.gateway.errors import ApiError
from preklic_producers.gateway.hot import Hot
from preklic_producers.gateway.marker import Marker
from preklic_producers.gateway.shield import Shield
from preklic_producers.gateway.tokens_auth import Bearers
from preklic_producers.gateway.webhooks_setup import open_sources
from preklic_producers.outbox import Outbox
from preklic_producers.own_files import files_of
from preklic_producers.seals import Seals
from preklic_shared.publisher import Publisher
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings, SettingsError
from preklic_shared.token_keys import load_token_keys

# A page in somebody's browser must not hang for long: after this the outbox takes the job.
PUBLISH_SECONDS: Final = 1.0


class Whole(Convertor[str]):
    """Everything up to the end of the path. Starlette's own `path` stops at a line end, which `%0A` can smuggle in."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """The text as it is."""
        return value

    def to_string(self, value: str) -> str:
        """The text as it is."""
        return value


register_url_convertor("whole", Whole())


class Plain:
    """A handler under the application's own net for exceptions alone: Starlette's second one costs a click a tenth."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._handler(Request(scope, receive, send))
        await response(scope, receive, send)


ROUTES: Final = [
    Route("/c/{token:whole}", Plain(public.click), methods=["GET"]),
    Route("/o/{token:whole}.gif", Plain(public.pixel), methods=["GET"]),
    Route("/u/{token:whole}", public.one_click, methods=["GET", "POST"]),
    Route("/p/{token:whole}", preferences.preferences, methods=["GET", "POST"]),
    Route("/confirm/{token:whole}", public.confirm, methods=["GET", "POST"]),
    Route("/", public.policy, methods=["GET"]),
    Route("/policy", public.policy, methods=["GET"]),
    Route("/v1/messages", intake.messages, methods=["POST"]),
    Route("/v1/messages/batch", intake.batch, methods=["POST"]),
    Route("/v1/messages/{id}", intake.status, methods=["GET"]),
    Route("/v1/consents", intake.consents, methods=["POST"]),
    Route("/v1/consents/withdraw", intake.withdraw, methods=["POST"]),
    Route("/v1/profiles", intake.profiles, methods=["POST"]),
    Route("/v1/events", intake.events, methods=["POST"]),
    Route("/v1/customers/check", intake.check, methods=["POST"]),
    Route("/v1/campaigns", campaigns.start, methods=["POST"]),
    Route("/v1/campaigns", campaigns.listing, methods=["GET"]),
    Route("/v1/campaigns/{name}", campaigns.show, methods=["GET"]),
    Route("/v1/campaigns/{name}/pause", campaigns.pause, methods=["POST"]),
    Route("/v1/campaigns/{name}/resume", campaigns.resume, methods=["POST"]),
    Route("/v1/campaigns/{name}/stop", campaigns.stop, methods=["POST"]),
    Route("/v1/partners/statistics", partners.statistics, methods=["GET"]),
    Route("/webhooks/{source}", webhooks.webhook, methods=["POST"]),
    Route("/openapi.json", openapi.openapi, methods=["GET"]),
    Route("/healthz", health.healthz, methods=["GET"]),
    Route("/readyz", health.readyz, methods=["GET"]),
    Route("/metrics", health.show_metrics, methods=["GET"]),
]

ERRORS: Final[dict[Any, Any]] = {
    404: answer_missing,
    405: answer_method,
    500: answer_broken,
    ApiError: answer_error,
    Rejected: answer_error,
    Unavailable: answer_broken,
}


def create_app(settings: Settings) -> Starlette:
    """The application for these settings.

    Raises SettingsError (KEY_DIR, SEALING_KEYS, OUTBOX, TOKENS, TRUSTED_PROXIES), RegistryError or SealingError before
    anything is served.
    """
    build = _builder(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        gateway = app.state.gateway = build(misses)
        try:
            yield
        finally:
            await gateway.close()

    misses = Ceiling(MISSES_A_MINUTE)
    https = settings.public_url.startswith("https://")
    app = Starlette(
        routes=ROUTES,
        lifespan=lifespan,
        middleware=[Middleware(Shield, misses=misses, trusted=_trusted(settings), https=https), Middleware(Hot)],
        exception_handlers=ERRORS,
    )
    _without_redirects(app.router)
    return app


def _without_redirects(router: Router) -> None:
    # Starlette would send "//evil.example" to a Location made from the Host header.
    router.redirect_slashes = False


def _builder(settings: Settings) -> Callable[[Ceiling], Gateway]:
    """Everything that can fail is opened here; the rest needs the running loop."""
    key_dir, sealing_keys, outbox = files_of(settings, "gateway")
    keys = load_token_keys(key_dir)
    pin = None if settings.sealing_pin is None else bytes.fromhex(settings.sealing_pin)
    seals = Seals(sealing_keys, pin)
    registry = load_registry(settings.registry)
    bearers = Bearers(settings.tokens, registry.partners)
    box = Outbox(outbox)

    def build(misses: Ceiling) -> Gateway:
        publisher = Publisher(settings.amqp_url, deadline=PUBLISH_SECONDS, name="preklic gateway")
        return Gateway(
            public_url=settings.public_url.rstrip("/"),
            registry=registry,
            seals=seals,
            keys=keys,
            drafts=Drafter(settings.producer, registry, seals),
            publisher=publisher,
            delivery=Delivery(publisher, box),
            asker=Asker(settings.amqp_url),
            marker=Marker(settings.amqp_url, box),
            bearers=bearers,
            trusted=_trusted(settings),
            processors=settings.processors,
            sources=open_sources(settings, keys, registry.sender_domains),
            misses=misses,
        )

    return build


def _trusted(settings: Settings) -> tuple[Network, ...]:
    try:
        return networks(settings.trusted_proxies)
    except ValueError:
        raise SettingsError("TRUSTED_PROXIES", "is a list of addresses or networks") from None
