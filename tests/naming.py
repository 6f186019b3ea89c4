"""A small DNS server on loopback, over UDP and TCP, that answers from a table of names."""

import contextlib
import socket
import struct
import threading

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset


def _both():
    """A UDP and a TCP socket of one number: one that is free for UDP may be somebody's for TCP."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        try:
            return udp, socket.create_server(udp.getsockname())
        except OSError:
            udp.close()


class NameServer:
    """`records` maps (name, type) to values as in a zone file. `asked` are the questions that came, `place` its own."""

    def __init__(self, records, *, silent=False, small=False):
        self.records, self.silent, self.small = records, silent, small
        self.asked = []
        self._udp, self._tcp = _both()
        self.place = f"127.0.0.1:{self._udp.getsockname()[1]}"

    def __enter__(self):
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        for listening in (self._udp, self._tcp):
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()

    def _answer(self, data):
        question = dns.message.from_wire(data)
        (asked,) = question.question
        name, kind = asked.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(asked.rdtype)
        self.asked.append((name, kind))
        answer = dns.message.make_response(question)
        values = self.records.get((name, kind))
        if values is None:
            known = any(there == name for there, _ in self.records)
            answer.set_rcode(dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)
        else:
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *values))
        return answer

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                data, peer = self._udp.recvfrom(4096)
                if not data:  # it was shut down
                    return
                if self.silent:
                    continue
                answer = self._answer(data)
                if self.small and answer.answer:
                    answer.answer.clear()
                    answer.flags |= dns.flags.TC
                self._udp.sendto(answer.to_wire(), peer)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._tcp.accept()
                with peer:
                    (length,) = struct.unpack("!H", peer.recv(2))
                    wire = self._answer(peer.recv(length)).to_wire()
                    peer.sendall(struct.pack("!H", len(wire)) + wire)
