"""A website's use of the producer, for the type checkers alone: what must pass, and what must not.

`mypy --strict` and pyright read this file; an "unused ignore" is as much of a failure as a missing one.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import assert_type

from preklic_producers import Mail, Producer, Proof, Receipt, Rejected, Status, Unavailable
from preklic_shared.settings import Settings

PROOF = Proof(wording="newsletter v3", source="https://lucrum.example/novice", method="form")


def sign_up(producer: Producer, address: str) -> None:
    """A form: the permission, then the mail that stands on it."""
    receipt = producer.grant(address, ["newsletter", "engagement.clicks"], proof=PROOF, ref="customer-7")
    assert_type(receipt, Receipt)
    assert_type(receipt.job_id, str)
    producer.send(
        address,
        "newsletter",
        "newsletter",
        {"title": "Novice", "articles": [{"title": "A", "n": 1}]},
        after=receipt,
        idempotency_key="welcome-7",
        expires=timedelta(days=1),
        reply_to="pisarna@lucrum.example",
    )
    producer.send(address, "payment", "invoice", expires=datetime.now(UTC) + timedelta(hours=1))
    producer.send(address, "newsletter", "newsletter", send_at=datetime.now(UTC) + timedelta(days=1))


def mails() -> Iterator[Mail]:
    """What `send_many` takes."""
    yield {"to": "ana@primer.si", "purpose": "newsletter", "template": "newsletter"}
    yield {"to": "bor@primer.si", "purpose": "newsletter", "template": "newsletter", "data": {"a": [1, None]}}


def everything(settings: Settings) -> None:
    """Every call, with the type of its answer."""
    with Producer(settings) as producer:
        assert_type(producer, Producer)
        assert_type(producer.send_many(mails()), list[Receipt])
        assert_type(producer.revoke("customer-7", reason="asked by telephone"), Receipt)
        assert_type(producer.revoke("customer-7", reason="asked by letter", erase=True), Receipt)
        assert_type(producer.enrich("customer-7", "profile", {"first_name": "Ana"}, source="shop"), Receipt)
        assert_type(producer.track("token", "clicked"), Receipt)
        assert_type(producer.campaign("autumn", "offers", "offer", {"title": "x"}, rate=5, cap="2/7d"), Receipt)
        assert_type(producer.check("ana@primer.si"), bool)
        assert_type(producer.status("018f5f3e-7a01-7c3b-9a77-6a1b2c3d4e5f"), Status)
    try:
        Producer.from_env().close()
    except Rejected as error:
        assert_type(error.field, str)
    except Unavailable as error:
        assert_type(error.receipts, tuple[Receipt | None, ...])


def mistakes(producer: Producer) -> None:
    """What the checkers must catch before anybody runs it."""
    producer.grant("ana@primer.si", ["newsletter"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    producer.revoke("ana@primer.si")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    producer.send(b"ana@primer.si", "newsletter", "newsletter")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    producer.track("token", "read")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    producer.enrich("7", "diary", {}, source="shop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    producer.campaign("autumn", "offers", "offer", rates=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    producer.send_many([{"to": "ana@primer.si"}])  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
