"""The relay of somebody else, which gives a mail back to its return path (RFC 3464)."""

import smtplib
from typing import Final

_NOTIFICATION: Final = """\
From: Mail system <mailer-daemon@relay.example>
To: {to}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="part"

--part
Content-Type: text/plain

Your mail to {recipient} could not be delivered.
--part
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--part--
"""


def give_back(port: int, return_path: str, recipient: str) -> None:
    """Tell the feedback listener on this loopback port that the recipient does not exist. Raises SMTPException."""
    text = _NOTIFICATION.format(to=return_path, recipient=recipient).replace("\n", "\r\n")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as relay:
        relay.sendmail("", [return_path], text.encode("ascii"))
