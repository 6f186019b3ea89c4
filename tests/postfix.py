"""A Postfix of a test's own: Debian's programs, with configuration, queue and mailboxes in a folder, on loopback alone.

Two ways in: the submission port, where TLS is required, takes any recipient as a relay would; the port of the mail
exchanger knows who has a mailbox. `HERE` is delivered into a Maildir; mail to `THERE` is relayed to that exchanger,
which refuses it with 550, so that Postfix itself writes the bounce and sends it to the envelope's sender.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from preklic_stack.children import Child, Children
from preklic_stack.ports import free_ports, is_free
from preklic_stack.programs import Missing
from sink.certificate import make_certificate
from waiting import until

PROGRAMS = Path("/usr/lib/postfix/sbin")
HERE, THERE = "primer.si", "drugje.si"
NOBODY = 65_534
# Name, type, private, unprivileged, chroot, wake-up, limit, program; no chroot: the folder is all there is.
SERVICES = """
127.0.0.1:{submission} inet n - n - - smtpd
 -o smtpd_tls_security_level=encrypt -o smtpd_reject_unlisted_recipient=no
127.0.0.1:{exchanger} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
SETTINGS = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = mx.{here}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
alias_maps =
alias_database =
smtpd_tls_chain_files = {certificate}
smtpd_tls_received_header = yes
smtp_tls_security_level = may
virtual_mailbox_domains = {here}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/mailboxes
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
relay_domains = {there}
relay_recipient_maps = texthash:{folder}/nobody
transport_maps = texthash:{folder}/transport
"""


@dataclass(frozen=True)
class Postfix:
    """A running one. `certificate` is what a client trusts; `port` is that of submission."""

    port: int
    certificate: Path
    folder: Path
    child: Child

    def mails(self, user: str) -> list[bytes]:
        """What lies in the mailbox of `user` at `HERE`, as its mail program would read it."""
        return [path.read_bytes() for path in sorted((self.folder / "mail" / user / "new").glob("*"))]

    def log(self) -> str:
        """What it logged."""
        path = self.folder / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def started(children: Children, *users: str, bounces: tuple[str, int]) -> Iterator[Postfix]:
    """A Postfix with a mailbox for each of `users`; mail to the domain `bounces[0]` goes to that loopback port.

    Raises `Missing`. Its processes end, and its folder goes, on the way out.
    """
    find()
    # Not pytest's folder: Postfix drops its rights, and must still come in.
    with TemporaryDirectory(prefix="preklic-postfix-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        submission, exchanger = free_ports(2)
        certificate = make_certificate(folder)
        _configure(folder, certificate, submission, exchanger, users, bounces)
        subprocess.run(["postfix", "-c", str(folder / "etc"), "check"], check=True, capture_output=True, timeout=30)
        argv = [str(PROGRAMS / "master"), "-c", str(folder / "etc"), "-d"]
        children.ports += [submission, exchanger]
        child = children.start("postfix", argv, log=folder / "master.log")
        postfix = Postfix(submission, certificate, folder, child)
        try:
            until(lambda: not is_free(submission) or not child.alive(), 10, "Postfix listens")
            assert child.alive(), child.tail() + postfix.log()
            yield postfix
        finally:
            child.stop()
            children.forget(child)


def find() -> None:
    """Whether it can run here. Raises `Missing`."""
    if shutil.which("postfix", path=f"{os.environ['PATH']}:/usr/sbin") is None or not (PROGRAMS / "master").exists():
        raise Missing("postfix is not installed: run deploy/bootstrap postfix (on Debian: apt install postfix)")
    if os.geteuid() != 0:
        raise Missing("Postfix gives its rights away, and needs to be root for that: run this test as root")


def _configure(
    folder: Path, certificate: Path, submission: int, exchanger: int, users: tuple[str, ...], bounces: tuple[str, int]
) -> None:
    for name in ("etc", "queue", "data", "mail"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    os.chown(folder / "mail", NOBODY, NOBODY)
    said = {"folder": folder, "certificate": certificate, "here": HERE, "there": THERE, "nobody": NOBODY}
    (folder / "etc" / "main.cf").write_text(SETTINGS.format(**said))
    (folder / "etc" / "master.cf").write_text(SERVICES.format(submission=submission, exchanger=exchanger))
    (folder / "mailboxes").write_text("".join(f"{user}@{HERE} {user}/\n" for user in users))
    (folder / "nobody").write_text("")
    ways = ((THERE, exchanger), bounces)
    (folder / "transport").write_text("".join(f"{domain} smtp:[127.0.0.1]:{port}\n" for domain, port in ways))
