"""Mails that come back, for tests: made by the RFCs' examples, and the samples of `corpus/`."""

import io
import tarfile
from pathlib import Path

from preklic_producers.feedback.ours import Ours
from preklic_shared import return_paths
from preklic_shared.return_paths import Bounce, Leave
from preklic_shared.tokens import KEY_BYTES, TokenKeys

DOMAIN = "lucrum.example"
KEYS = TokenKeys({1: b"t" * KEY_BYTES}, 1)
OURS = Ours(DOMAIN, KEYS)
MESSAGE = "00010203-0405-4607-8809-0a0b0c0d0e0f"
OTHER = "10010203-0405-4607-8809-0a0b0c0d0e0f"


def samples() -> dict[str, bytes]:
    """The corpus: name -> mail."""
    packed = (Path(__file__).parent / "corpus" / "bounces.tar.xz").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {Path(one.name).stem: archive.extractfile(one).read() for one in files}


def return_path(message=MESSAGE, kind=Bounce, keys=KEYS):
    return return_paths.mint(keys, kind(message), DOMAIN)


def leave(message=MESSAGE, keys=KEYS):
    return return_path(message, Leave, keys)


def dsn(action="failed", status="5.1.1", diagnostic="smtp; 550 5.1.1 no such user", *, returned="", head=""):
    """RFC 3464, as Postfix writes it."""
    return (
        f"From: MAILER-DAEMON@relay.example (Mail Delivery System)\r\nTo: somebody@{DOMAIN}\r\n{head}"
        "Subject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\nAuto-Submitted: auto-replied\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nThe mail system at host relay.example.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.example\r\n\r\n"
        f"Final-Recipient: rfc822; ema@primer.si\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: {diagnostic}\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}\r\n--b--\r\n"
    ).encode()


def arf(kind="abuse", *, returned=""):
    """RFC 5965, appendix B."""
    return (
        "From: <abusedesk@provider.example>\r\nSubject: FW: Earn money\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="p"\r\n\r\n'
        "--p\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n"
        f"--p\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\n"
        "User-Agent: SomeGenerator/1.0\r\nVersion: 1\r\n\r\n"
        f"--p\r\nContent-Type: message/rfc822\r\n\r\n{returned}\r\n--p--\r\n"
    ).encode()


def away():
    return (
        b"From: ema@primer.si\r\nTo: novice@lucrum.example\r\nAuto-Submitted: auto-replied\r\n"
        b"Subject: Odsotnost: Novice\r\n\r\nDo ponedeljka me ni.\r\n"
    )
