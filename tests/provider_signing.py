"""Stands in for the four providers: posts what they post, signed as they sign, with keys of the test's own."""

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from functools import cache

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from preklic_producers.gateway.fetching import FetchError

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
HOST = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = f"{HOST}/SimpleNotificationService-0123456789abcdef.pem"
SUBSCRIBE = f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37fb687f5d51e6e2425e90ccf23f9f"
LINES = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


@cache
def rsa_key(name: str = "sns") -> rsa.RSAPrivateKey:
    """One key for each name, made once."""
    return rsa.generate_private_key(65537, 2048)


def certificate(key, *, days: int = 1) -> bytes:
    """A certificate of this key in PEM that ends `days` from now."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=9))
    return (
        made.not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


@dataclass
class Web:
    """What the gateway may fetch: bodies by URL; everything else fails. What was asked for is in `asked`."""

    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if url not in self.pages:
            raise FetchError(404)
        return self.pages[url]


def note(message="", kind="Notification", *, version="2", key=None, **changes) -> dict:
    """What SNS posts, signed. `changes` are made before the signature."""
    fields = {
        "Type": kind,
        "MessageId": "19ba9823-d7f2-53c1-860e-cb10e0d13dfc",
        "TopicArn": TOPIC,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-11-26T17:58:59.675Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        "UnsubscribeURL": f"{HOST}/?Action=Unsubscribe&SubscriptionArn=x",
        **({} if kind == "Notification" else {"SubscribeURL": SUBSCRIBE, "Token": "2336412f37fb"}),
        **changes,
    }
    text = "".join(f"{name}\n{fields[name]}\n" for name in LINES[kind] if name in fields)
    digest = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = (key or rsa_key()).sign(text.encode(), padding.PKCS1v15(), digest)
    return fields | {"Signature": base64.b64encode(signature).decode()}


@dataclass
class Providers:
    """The four providers, calling the gateway at `http`."""

    http: httpx.Client
    sendgrid_key: ec.EllipticCurvePrivateKey
    mailgun_key: str
    postmark_login: tuple[str, str]

    def ses(self, message="", kind="Notification", **changes) -> httpx.Response:
        return self.sns(note(message, kind, **changes))

    def sns(self, fields) -> httpx.Response:
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        return self.http.post("/webhooks/ses", content=body, headers={"content-type": "text/plain; charset=UTF-8"})

    def sendgrid(self, events, *, at=None, key=None, tampered=b"") -> httpx.Response:
        body = events if isinstance(events, bytes) else json.dumps(events).encode()
        stamp = str(int(time.time()) if at is None else at)
        signature = (key or self.sendgrid_key).sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        }
        return self.http.post("/webhooks/sendgrid", content=body + tampered, headers=headers)

    def mailgun(self, event, *, at=None, key=None, token=None) -> httpx.Response:
        stamp, token = str(int(time.time()) if at is None else at), token or secrets.token_hex(25)
        signature = hmac.new((key or self.mailgun_key).encode(), f"{stamp}{token}".encode(), hashlib.sha256)
        signed = {"timestamp": stamp, "token": token, "signature": signature.hexdigest()}
        return self.http.post("/webhooks/mailgun", json={"signature": signed, "event-data": event})

    def postmark(self, record, *, login=None, **options) -> httpx.Response:
        body = record if isinstance(record, bytes) else json.dumps(record).encode()
        return self.http.post("/webhooks/postmark", content=body, auth=login or self.postmark_login, **options)
