"""Amazon SES: one event or notification, which came as the message of an SNS notification. Pure.

Source: Amazon SES Developer Guide, "Contents of event data that Amazon SES publishes to Amazon SNS" and "Amazon SNS
notification contents for Amazon SES". SES writes a Message-ID of its own into the mail, but tells ours; the envelope
sender tells it too.
"""

from typing import Any, Final

from preklic_producers.feedback.documents import at, document, first, millis, text
from preklic_producers.feedback.heard import KEPT, Aside, Heard, Ignored, Told, heard
from preklic_producers.feedback.ours import TAG, Ours
from preklic_shared.status_codes import Bounced, code_in, severity
from preklic_shared.wire import Malformed

SOURCE: Final = "ses"
_IGNORED: Final = frozenset({"Send", "Open", "Click", "AmazonSnsSubscriptionSucceeded"})
_GREETING: Final = "Successfully validated SNS topic"
_REFUSED: Final = frozenset({"ContentRejected", "AttachmentRejected"})


def read(message: str, ours: Ours) -> list[Heard]:
    """What the message of a notification comes to."""
    try:
        event = document(message.encode())
    except Malformed:
        greeting = message.startswith(_GREETING)
        return [Ignored("validated") if greeting else Aside("malformed", message.encode()[:KEPT])]
    kind = text(event, "eventType") or text(event, "notificationType")
    if kind in _IGNORED:
        return [Ignored(kind)]
    when = millis(at(event, f"{kind[:1].lower()}{kind[1:]}", "timestamp"))
    return [heard(SOURCE, event, _told(kind, event), _mail(event, ours), when, past=ours.past(when))]


def _mail(event: object, ours: Ours) -> str | None:
    mail = at(event, "mail")
    headers = at(mail, "headers")
    listed = headers if isinstance(headers, list) else []
    ids = [text(one, "value") for one in listed if text(one, "name").lower() == "message-id"]
    tag = first(mail, "tags", TAG)
    names = (text(mail, "commonHeaders", "messageId"), *ids, text(mail, "source"))
    return ours.mail(*names, tag=tag if isinstance(tag, str) else "")


def _told(kind: str, event: object) -> Told | Ignored | Aside:
    key = (text(event, "mail", "messageId"), kind)
    match kind:
        case "Bounce":
            return _bounce(at(event, "bounce"), key)
        case "Complaint":
            return _complaint(at(event, "complaint"), key)
        case "DeliveryDelay":
            return _delay(at(event, "deliveryDelay"), key)
        case "Subscription":
            return _subscription(at(event, "subscription"), key)
        case "Delivery":
            return Told("delivered", key)
        case _:
            # `Reject`: SES found a virus, and did not try.
            return Told("bounced", key, "policy") if kind == "Reject" else Aside("unknown_event")


def _delay(delay: Any, key: tuple[str, ...]) -> Told:
    recipient = first(delay, "delayedRecipients")
    code = code_in(text(recipient, "status"), text(recipient, "diagnosticCode"))
    return Told("deferred", (*key, text(delay, "timestamp")), "soft", code)


def _bounce(bounce: Any, key: tuple[str, ...]) -> Told:
    recipient = first(bounce, "bouncedRecipients")
    code = code_in(text(recipient, "status"), text(recipient, "diagnosticCode"))
    otherwise = _unless_coded(text(bounce, "bounceType"), text(bounce, "bounceSubType"))
    found = severity(code, otherwise)
    # SES calls it for now, or does not know: a code of its own making does not end an address.
    known = otherwise if found == "hard" and otherwise != "hard" else found
    return Told("bounced", (*key, text(bounce, "feedbackId")), known, code)


def _unless_coded(kind: str, detail: str) -> Bounced:
    if detail in _REFUSED:
        return "policy"
    return "hard" if kind == "Permanent" else "soft"


def _complaint(complaint: Any, key: tuple[str, ...]) -> Told | Ignored:
    # RFC 5965, section 7.3: `not-spam` takes a complaint back, and no complaint ever gives a yes.
    if text(complaint, "complaintFeedbackType") == "not-spam":
        return Ignored("not-spam")
    return Told("complained", (*key, text(complaint, "feedbackId")))


def _subscription(subscription: Any, key: tuple[str, ...]) -> Told | Ignored:
    wishes = at(subscription, "newTopicPreferences")
    topics = at(wishes, "topicSubscriptionStatus")
    statuses = {text(one, "subscriptionStatus") for one in topics} if isinstance(topics, list) else set()
    if at(wishes, "unsubscribeAll") is True or "OptOut" in statuses:
        return Told("unsubscribed", (*key, text(subscription, "timestamp")))
    return Ignored("resubscribed")
