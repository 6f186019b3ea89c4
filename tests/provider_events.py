"""What four providers post, after their documentation: each event with what it must come to.

Sources: Amazon SES Developer Guide ("Examples of event data", "Notification examples"), SendGrid ("Event Webhook
Reference"), Mailgun ("Events", "Webhooks"), Postmark ("Webhooks", "Bounce types"). Addresses are made up; where a
provider shows a Message-ID, an envelope sender or a tag of the sender's own, it is ours here.
"""

import datetime as dt
import time
from dataclasses import dataclass

ANA = "ana@primer.si"
# What each may come to, as (word, bounce, code) of its reports.
DELIVERED, COMPLAINED, UNSUBSCRIBED = (((word, None, ""),) for word in ("delivered", "complained", "unsubscribed"))


def bounced(kind, code=""):
    return (("bounced", kind, code),)


def deferred(code=""):
    return (("deferred", "soft", code),)


@dataclass(frozen=True)
class Case:
    """One event: `said` is (word, bounce, code) of each report, or what is ignored or set aside."""

    name: str
    event: dict
    said: tuple | str


def _now():
    return dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")


def ses(job, domain, sender):
    """Events and notifications of SES; notifications carry the headers where the identity asks for them."""

    def mail(*, headers=True, source=sender, tags=None):
        told = {
            "timestamp": _now(),
            "source": source,
            "sourceArn": "arn:aws:ses:eu-west-1:123456789012:identity/lucrum.example",
            "sendingAccountId": "123456789012",
            "messageId": "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000",
            "destination": [ANA],
            "headersTruncated": False,
        }
        if headers:
            told["headers"] = [
                {"name": "From", "value": "Lucrum <novice@lucrum.example>"},
                {"name": "To", "value": ANA},
            ]
            told["commonHeaders"] = {"from": ["Lucrum <novice@lucrum.example>"], "to": [ANA], "subject": "Novice"}
            told["commonHeaders"]["messageId"] = f"<{job}@{domain}>"
        return told | ({} if tags is None else {"tags": tags})

    reported = {"timestamp": _now(), "feedbackId": "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8aexample-000000"}

    def bounce(kind, detail, status=None, diagnostic=None):
        recipient = {"emailAddress": ANA, "action": "failed"}
        recipient |= {} if status is None else {"status": status, "diagnosticCode": diagnostic}
        return {
            "bounceType": kind,
            "bounceSubType": detail,
            "bouncedRecipients": [recipient],
            **reported,
            "reportingMTA": "dsn; mta.example.com",
        }

    def complaint(kind):
        return {"complainedRecipients": [{"emailAddress": ANA}], **reported, "complaintFeedbackType": kind}

    delay = {
        "timestamp": _now(),
        "delayType": "TransientCommunicationFailure",
        "expirationTime": _now(),
        "delayedRecipients": [{"emailAddress": ANA, "status": "4.4.1", "diagnosticCode": "smtp; 421 4.4.1 timed out"}],
    }
    headers_only = mail(source="novice@lucrum.example")
    original = mail(source="x@y.example") | {
        "commonHeaders": {"messageId": "EXAMPLE7c19"},
        "headers": [{"name": "Message-ID", "value": f"<{job}@{domain}>"}],
    }
    tagged = mail(headers=False, source="x@y.example", tags={"ses:configuration-set": ["Set"], "job": [job]})
    gone = bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown")
    full = bounce("Transient", "MailboxFull", "4.2.2", "smtp; 452 4.2.2 mailbox full")
    topics = [{"topicName": "Novice", "subscriptionStatus": "OptOut"}]
    subscription = {"contactList": "ContactListName", "timestamp": _now(), "source": "UnsubscribeHeader"}
    left = subscription | {"newTopicPreferences": {"unsubscribeAll": True, "topicSubscriptionStatus": topics}}
    came = subscription | {
        "newTopicPreferences": {
            "unsubscribeAll": False,
            "topicSubscriptionStatus": [{"topicName": "Novice", "subscriptionStatus": "OptIn"}],
        }
    }
    delivery = {"timestamp": _now(), "processingTimeMillis": 546, "recipients": [ANA]}
    delivery |= {"smtpResponse": "250 2.6.0 Message received", "reportingMTA": "mta.example.com"}
    return [
        Case("bounce", {"eventType": "Bounce", "bounce": gone, "mail": mail()}, bounced("hard", "5.1.1")),
        Case(
            "bounce without DSN",
            {"notificationType": "Bounce", "bounce": bounce("Permanent", "NoEmail"), "mail": mail(headers=False)},
            bounced("hard"),
        ),
        Case(
            "on the suppression list",
            {"eventType": "Bounce", "bounce": bounce("Permanent", "OnAccountSuppressionList"), "mail": mail()},
            bounced("hard"),
        ),
        Case("mailbox full", {"eventType": "Bounce", "bounce": full, "mail": mail()}, bounced("soft", "4.2.2")),
        Case(
            "content rejected",
            {"eventType": "Bounce", "bounce": bounce("Transient", "ContentRejected"), "mail": headers_only},
            bounced("policy"),
        ),
        Case(
            "refused by policy",
            {
                "eventType": "Bounce",
                "bounce": bounce("Permanent", "General", "5.7.1", "smtp; 550 5.7.1 blocked"),
                "mail": mail(),
            },
            bounced("policy", "5.7.1"),
        ),
        Case(
            "undetermined",
            {"eventType": "Bounce", "bounce": bounce("Undetermined", "Undetermined"), "mail": original},
            bounced("soft"),
        ),
        Case("complaint", {"eventType": "Complaint", "complaint": complaint("abuse"), "mail": mail()}, COMPLAINED),
        Case(
            "complaint of an identity",
            {"notificationType": "Complaint", "complaint": complaint(None), "mail": tagged},
            COMPLAINED,
        ),
        Case("no spam", {"eventType": "Complaint", "complaint": complaint("not-spam"), "mail": mail()}, "ignored"),
        Case("delivery", {"eventType": "Delivery", "mail": mail(), "delivery": delivery}, DELIVERED),
        Case("delay", {"eventType": "DeliveryDelay", "mail": mail(), "deliveryDelay": delay}, deferred("4.4.1")),
        Case("reject", {"eventType": "Reject", "mail": mail(), "reject": {"reason": "Bad content"}}, bounced("policy")),
        Case("unsubscribe", {"eventType": "Subscription", "mail": mail(), "subscription": left}, UNSUBSCRIBED),
        Case("subscribe", {"eventType": "Subscription", "mail": mail(), "subscription": came}, "ignored"),
        Case("send", {"eventType": "Send", "mail": mail(), "send": {}}, "ignored"),
        Case("open", {"eventType": "Open", "mail": mail(), "open": {"ipAddress": "192.0.2.1"}}, "ignored"),
        Case("click", {"eventType": "Click", "mail": mail(), "click": {"link": "https://x.example"}}, "ignored"),
        Case("rendering", {"eventType": "Rendering Failure", "mail": mail(), "failure": {}}, "unknown_event"),
        Case(
            "of another sender",
            {"eventType": "Delivery", "mail": {"messageId": "1", "source": "a@other.example"}, "delivery": delivery},
            "unmatched",
        ),
    ]


def sendgrid(job, domain, _sender):
    """The events of the reference; each has an id of its own."""
    ids = iter(range(1000))

    def event(kind, **more):
        number = next(ids)
        return {
            "email": ANA,
            "timestamp": int(time.time()),
            "smtp-id": f"<{job}@{domain}>",
            "event": kind,
            "category": ["newsletter"],
            "sg_event_id": f"ZXZlbnQ{number:04d}",
            "sg_message_id": f"14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.{number}",
            **more,
        }

    late = event("bounce", reason="550 5.1.1 no such user", status="5.1.1", type="bounce", job=job)
    del late["smtp-id"]
    account = {"event": "account_status_change", "type": "compliance_suspend", "timestamp": int(time.time())}
    foreign = event("delivered") | {"smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>"}
    dropped = "dropped"
    return [
        Case("processed", event("processed"), "ignored"),
        Case("deferred", event("deferred", response="400 try again later", attempt="5"), deferred()),
        Case("delivered", event("delivered", response="250 2.0.0 OK"), DELIVERED),
        Case("open", event("open", useragent="Mozilla/4.0", ip="255.255.255.255"), "ignored"),
        Case("click", event("click", url="https://lucrum.example/"), "ignored"),
        Case(
            "bounce",
            event("bounce", reason="500 unknown recipient", status="5.0.0", type="bounce"),
            bounced("hard", "5.0.0"),
        ),
        Case(
            "invalid address",
            event("bounce", reason="550 5.1.1 user unknown", status="5.1.1", bounce_classification="Invalid Address"),
            bounced("hard", "5.1.1"),
        ),
        Case(
            "full",
            event("bounce", reason="552 5.2.2 over quota", bounce_classification="Mailbox Unavailable", type="bounce"),
            bounced("soft", "5.2.2"),
        ),
        Case(
            "reputation",
            event("bounce", reason="550 rejected", bounce_classification="Reputation", type="blocked"),
            bounced("policy"),
        ),
        Case(
            "blocked without status",
            event("bounce", reason="unable to get mx info", bounce_classification="Unclassified", type="blocked"),
            bounced("soft"),
        ),
        Case("late bounce", late, bounced("hard", "5.1.1")),
        Case("dropped: bounced", event(dropped, reason="Bounced Address"), bounced("hard")),
        Case("dropped: invalid", event(dropped, reason="Invalid"), bounced("hard")),
        Case("dropped: header", event(dropped, reason="Invalid SMTPAPI header"), bounced("policy")),
        Case("dropped: complained", event(dropped, reason="Spam Reporting Address"), (*bounced("policy"), *COMPLAINED)),
        Case(
            "dropped: unsubscribed", event(dropped, reason="Unsubscribed Address"), (*bounced("policy"), *UNSUBSCRIBED)
        ),
        Case("spam report", event("spamreport"), COMPLAINED),
        Case("unsubscribe", event("unsubscribe"), UNSUBSCRIBED),
        Case("group unsubscribe", event("group_unsubscribe", asm_group_id=10), UNSUBSCRIBED),
        Case("group resubscribe", event("group_resubscribe", asm_group_id=10), "ignored"),
        Case("account", account, "unknown_event"),
        Case("of another sender", foreign, "unmatched"),
    ]


def mailgun(job, domain, sender):
    """The object `event-data` of each."""
    ids = iter(range(1000))

    def event(kind, *, message_id=f"{job}@{domain}", **more):
        return {
            "event": kind,
            "id": f"hTWCTD81RtiDN-{next(ids):08d}",
            "timestamp": time.time(),
            "log-level": "info",
            "recipient": ANA,
            "recipient-domain": "primer.si",
            "tags": [],
            "user-variables": {},
            "flags": {"is-routed": False, "is-authenticated": True, "is-test-mode": False},
            "envelope": {"sending-ip": "192.0.2.7", "sender": "novice@lucrum.example", "targets": ANA},
            "message": {"headers": {"to": ANA, "message-id": message_id, "subject": "Novice"}, "size": 809},
            **more,
        }

    def status(code, message="", description="", **more):
        return {"attempt-no": 1, "code": code, "message": message, "description": description, **more}

    def failed(reason, told, severity="permanent", **more):
        return event("failed", severity=severity, reason=reason, **{"delivery-status": told}, **more)

    gone = status(550, "5.1.1 The email account that you tried to reach does not exist.")
    by_sender = {"envelope": {"sender": sender}}
    return [
        Case("accepted", event("accepted"), "ignored"),
        Case("delivered", event("delivered", **{"delivery-status": status(250, "OK")}), DELIVERED),
        Case("failed", failed("bounce", gone), bounced("hard", "5.1.1")),
        Case(
            "failed, with its code",
            failed("bounce", status(550, "no such user", **{"enhanced-code": "5.1.10", "bounce-type": "hard"})),
            bounced("hard", "5.1.10"),
        ),
        Case("soft", failed("bounce", status(552, "5.2.2 full")), bounced("soft", "5.2.2")),
        Case("retried too long", failed("old", status(602, "Too old")), bounced("soft")),
        Case("blocked", failed("espblock", status(550, "5.7.1 spam")), bounced("policy", "5.7.1")),
        Case("known bounce", failed("suppress-bounce", status(605)), bounced("hard")),
        Case("known unsubscribe", failed("suppress-unsubscribe", status(606)), (*bounced("policy"), *UNSUBSCRIBED)),
        Case("known complaint", failed("suppress-complaint", status(607)), (*bounced("policy"), *COMPLAINED)),
        Case(
            "temporary",
            failed("generic", status(498, "No MX for primer.si", **{"retry-seconds": 1800}), severity="temporary"),
            deferred(),
        ),
        Case(
            "greylisted", failed("greylisted", status(450, "4.7.1 Greylisted"), severity="temporary"), deferred("4.7.1")
        ),
        Case("rejected", event("rejected", reject={"reason": "Sandbox"}), bounced("policy")),
        Case("complained", event("complained"), COMPLAINED),
        Case("unsubscribed", event("unsubscribed"), UNSUBSCRIBED),
        Case("opened", event("opened"), "ignored"),
        Case("clicked", event("clicked", url="https://lucrum.example"), "ignored"),
        Case("stored", event("stored"), "ignored"),
        Case("by envelope sender", event("complained", message_id="1@mailgun.example", **by_sender), COMPLAINED),
        Case("by variable", event("complained", message_id="", **{"user-variables": {"job": job}}), COMPLAINED),
        Case("new", event("list_member_uploaded"), "unknown_event"),
        Case("of another sender", event("delivered", message_id="1@other.example"), "unmatched"),
    ]


def postmark(job, _domain, sender):
    """The records, with the metadata `job` that our mail carries."""
    ids = iter(range(901542550, 999999999))

    def record(kind, **more):
        number = next(ids)
        return {
            "RecordType": kind,
            "MessageStream": "outbound",
            "MessageID": f"883953f4-6105-42a2-a16a-{number:012d}",
            "ServerID": 23,
            "Tag": "newsletter",
            "Metadata": {"job": job},
            **({"DeliveredAt": _now()} if kind == "Delivery" else {}),
            **more,
        }

    def bounce(kind, code, details, **more):
        told = {"ID": next(ids), "Type": kind, "TypeCode": code, "Details": details, "Email": ANA, "Description": ""}
        told["BouncedAt"] = _now()
        return record("Bounce", **told, From="novice@lucrum.example", Inactive=True, CanActivate=True, **more)

    def change(reason, *, suppress=True, origin="Recipient"):
        return record(
            "SubscriptionChange",
            ChangedAt=_now(),
            Recipient=ANA,
            Origin=origin,
            SuppressSending=suppress,
            SuppressionReason=reason,
        )

    returned = f"Return-Path: <>\r\nFinal-Recipient: rfc822;{ANA}\r\n\r\nReturn-Path: <{sender}>\r\n"
    hard = "smtp;550 5.1.1 The email account that you tried to reach does not exist."
    return [
        Case("delivery", record("Delivery", Recipient=ANA, Details="Test"), DELIVERED),
        Case("hard", bounce("HardBounce", 1, hard), bounced("hard", "5.1.1")),
        Case("hard, by policy", bounce("HardBounce", 1, "smtp;550 5.7.1 spam"), bounced("policy", "5.7.1")),
        Case("transient", bounce("Transient", 2, "smtp;450 4.2.1 later"), deferred("4.2.1")),
        Case("soft", bounce("SoftBounce", 4096, "smtp;550 5.1.1 odd"), bounced("soft", "5.1.1")),
        Case("DNS", bounce("DnsError", 256, "no MX"), bounced("soft")),
        Case("spam", bounce("SpamNotification", 512, "smtp;554 5.7.1 spam"), bounced("policy", "5.7.1")),
        Case("blocked", bounce("Blocked", 100006, "ISP block"), bounced("policy")),
        Case("DMARC", bounce("DMARCPolicy", 100009, "smtp;550 5.7.26 DMARC"), bounced("policy", "5.7.26")),
        Case("bad address", bounce("BadEmailAddress", 100000, "no address"), bounced("hard")),
        Case("mailed unsubscribe", bounce("Unsubscribe", 16, ""), UNSUBSCRIBED),
        Case("out of office", bounce("AutoResponder", 64, "away"), "ignored"),
        Case("complaint", bounce("SpamComplaint", 100001, "") | {"RecordType": "SpamComplaint"}, COMPLAINED),
        Case("unsubscribe", change("ManualSuppression"), UNSUBSCRIBED),
        Case("suppressed: bounce", change("HardBounce"), bounced("hard")),
        Case("suppressed: complaint", change("SpamComplaint"), COMPLAINED),
        Case("active again", change(None, suppress=False), "ignored"),
        Case("open", record("Open", FirstOpen=True), "ignored"),
        Case("click", record("Click", OriginalLink="https://lucrum.example"), "ignored"),
        Case(
            "by what came back", bounce("HardBounce", 1, hard, Metadata={}, Content=returned), bounced("hard", "5.1.1")
        ),
        Case("inbound", record("Inbound"), "unknown_event"),
        Case("template", bounce("TemplateRenderingFailed", 100010, ""), "unknown_event"),
        Case("of another sender", record("Delivery", Metadata={}), "unmatched"),
    ]


ALL = {"ses": ses, "sendgrid": sendgrid, "mailgun": mailgun, "postmark": postmark}
