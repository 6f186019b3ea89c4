"""What the handlers of one gateway share. Built once when the app starts, closed when it ends."""

import asyncio
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from preklic_producers.drafts import Drafter
from preklic_producers.gateway.ask import Asker
from preklic_producers.gateway.clients import CHECKS_A_MINUTE, MISSES_A_MINUTE, Ceiling, Network, client_of, household
from preklic_producers.gateway.delivery import Delivery
from preklic_producers.gateway.idempotency import Answers
from preklic_producers.gateway.marker import Marker
from preklic_producers.gateway.tokens_auth import Bearers
from preklic_producers.gateway.webhook_source import Source
from preklic_producers.outbox import Parcel
from preklic_producers.seals import Seals
from preklic_shared.publisher import Publisher
from preklic_shared.registry import Registry
from preklic_shared.settings import Processor
from preklic_shared.tokens import TokenKeys


class Pace:
    """Makes a token that is not believed take as long as one that is: no timing oracle (attack 47)."""

    def __init__(self) -> None:
        self._seen: deque[float] = deque([0.002], maxlen=64)

    def saw(self, seconds: float) -> None:
        """How long a good one took."""
        self._seen.append(seconds)

    async def pretend(self) -> None:
        """Take as long as some recent good one."""
        await asyncio.sleep(random.choice(self._seen))  # noqa: S311 -- no secret: it spreads a delay


@dataclass(frozen=True)
class Gateway:
    """The parts; each is described where it is defined. `public_url` ends without a slash."""

    public_url: str
    registry: Registry
    seals: Seals
    keys: TokenKeys
    drafts: Drafter
    publisher: Publisher
    delivery: Delivery
    asker: Asker
    marker: Marker
    bearers: Bearers
    trusted: tuple[Network, ...]
    processors: tuple[Processor, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    misses: Ceiling = field(default_factory=lambda: Ceiling(MISSES_A_MINUTE))
    checks: Ceiling = field(default_factory=lambda: Ceiling(CHECKS_A_MINUTE))
    answers: Answers = field(default_factory=Answers)
    pace: Pace = field(default_factory=Pace)

    async def hand_over(self, parcel: Parcel) -> str:
        """`queued` or `stored`; Unavailable when it is neither."""
        return await self.delivery.hand_over(parcel)

    async def close(self) -> None:
        """Close what has connections and threads."""
        await self.delivery.close()
        await self.marker.close()
        await self.asker.close()
        await self.publisher.close()


def gateway_of(request: Request) -> Gateway:
    """The gateway that serves this request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def client(request: Request) -> str:
    """The client as a limit counts it."""
    scope: Any = request.scope
    peer = scope["client"][0] if scope.get("client") else ""
    return household(client_of(peer, request.headers.get("x-forwarded-for", ""), gateway_of(request).trusted))
