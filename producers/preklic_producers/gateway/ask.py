"""Questions that only the store can answer, asked over the queue `ask`; the answer comes by direct reply-to.

An answer is JSON of at most 64 KiB. None means that nobody answered within the question's life of two seconds: every
caller has a page or status for that.
"""

import asyncio
from typing import Any, Final

from msgspec import structs

from preklic_producers.carrier import publication
from preklic_producers.outbox import Parcel
from preklic_shared.publication import PublishError
from preklic_shared.publisher import REPLY_TO, Publisher
from preklic_shared.topology import ASK_SECONDS
from preklic_shared.wire import Malformed, strict_json

_ANSWER_LIMIT: Final = 64 * 1024


class Asker:
    """Asks over a connection of its own, so that no answer waits behind a pile of confirms."""

    def __init__(self, url: str) -> None:
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._publisher = Publisher(url, deadline=ASK_SECONDS, name="preklic asker", on_reply=self._take)

    async def ask(self, question: Parcel) -> dict[str, Any] | None:
        """The answer, or None when there was none in time."""
        asked = structs.replace(
            publication(question),
            reply_to=REPLY_TO,
            correlation_id=question.job,
            expiration=ASK_SECONDS * 1000,
        )
        answer = self._waiting[question.job] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await self._publisher.publish(asked)
                return _read(await answer)
        except (TimeoutError, PublishError):
            return None
        finally:
            del self._waiting[question.job]

    async def close(self) -> None:
        """Close the connection."""
        await self._publisher.close()

    def _take(self, correlation_id: str, body: bytes) -> None:
        waiting = self._waiting.get(correlation_id)
        # A late answer, or one to a question that this gateway never asked, has nobody to go to.
        if waiting is not None and not waiting.done():
            waiting.set_result(body)


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        answer = strict_json(body) if len(body) <= _ANSWER_LIMIT else None
    except Malformed:
        return None
    return answer if isinstance(answer, dict) else None
