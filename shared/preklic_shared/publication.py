"""What is published, and the ways in which that can fail."""

from typing import Any, Final

from msgspec import Struct

CONTENT_TYPE: Final = "application/json"


class PublishError(Exception):
    """A publication that is not confirmed."""


class Unavailable(PublishError):
    """The broker did not confirm within the deadline: away, blocked or slow. It may still have the message."""


class Unroutable(PublishError):
    """No queue is bound by that exchange and routing key."""


class Refused(PublishError):
    """The broker said no: a full queue (nack), or something that this user may not do (its code is in the text)."""


class Publication(Struct, frozen=True):
    """One message to publish, always persistent. `body` travels as it is; `expiration` is in milliseconds."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    type: str
    headers: dict[str, Any] = {}
    reply_to: str | None = None
    correlation_id: str | None = None
    expiration: int | None = None
    mandatory: bool = True

    @property
    def place(self) -> tuple[str, str, str]:
        """Message id, exchange and routing key: what a returned message is known by."""
        return self.message_id, self.exchange, self.routing_key
