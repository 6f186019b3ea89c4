"""What awaits the broker's confirm: the book-keeping of `publisher`."""

import asyncio

from pika import BasicProperties

from preklic_shared.publication import CONTENT_TYPE, Publication, PublishError, Refused, Unavailable, Unroutable


class Group:
    """Publications that one call waits for. `failures` holds what went wrong, by position.

    `sealed` says that no more are handed in, `late` that one ran into its deadline.
    """

    __slots__ = ("done", "failures", "late", "left", "sealed")

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.left = 0
        self.sealed = False
        self.late = False
        self.failures: dict[int, PublishError] = {}
        self.done = done

    def resolve(self, index: int, error: PublishError | None) -> None:
        """One of the publications is confirmed, or has failed."""
        if error is not None:
            self.failures[index] = error
            self.late = self.late or isinstance(error, Unavailable)
        self.left -= 1
        self.wake()

    def wake(self) -> None:
        """Let the caller go on if nothing is left to wait for."""
        if self.sealed and not self.left and not self.done.done():
            self.done.set_result(None)


class Item:
    """A publication, and where its answer goes."""

    __slots__ = ("deadline", "group", "index", "publication", "returned")

    def __init__(self, publication: Publication, group: Group, index: int, deadline: float) -> None:
        self.publication = publication
        self.group = group
        self.index = index
        self.deadline = deadline
        self.returned = False


def properties_of(publication: Publication, user: str) -> BasicProperties:
    """The AMQP properties of a job: persistent, and under the user that the broker checks."""
    return BasicProperties(
        content_type=CONTENT_TYPE,
        headers=publication.headers or None,
        delivery_mode=2,
        correlation_id=publication.correlation_id,
        reply_to=publication.reply_to,
        expiration=None if publication.expiration is None else str(publication.expiration),
        message_id=publication.message_id,
        type=publication.type,
        user_id=user,
    )


def verdict(item: Item, *, nacked: bool) -> PublishError | None:
    """How the publication ended, once the broker has confirmed or refused it."""
    if nacked:
        return Refused("refused by the broker (queue full)")
    if item.returned:
        return Unroutable(f"no queue for {item.publication.routing_key} on {item.publication.exchange}")
    return None
