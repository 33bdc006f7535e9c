"""Asks a gateway over a link and accounts for every byte that came back over it: `python -m loadtests.wiretap`.

It listens to the whole link below TLS while it asks, and decrypts what it was answered itself. What the link carried
and its own connections did not is unexplained: someone else spoke. Standard input gives the settings and then the
requests, one JSON document a line; standard output says `ready` and, at the end, the account.
"""

import base64
import json
import socket
import ssl
import struct
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_ETH_IPV4, _ETH_ARP = 0x0800, 0x0806
_ETH_ALL = 0x0003
_TCP = 6
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_OUTGOING = 263, 6, 4


@dataclass
class Link:
    """Every payload that arrived on an interface; retransmitted TCP segments count once."""

    interface: str
    segments: dict[tuple[bytes, int, int], int] = field(default_factory=dict)
    other: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024 * 1024)
        self._socket.bind((self.interface, 0))
        self._socket.settimeout(0.2)
        self._ended = False
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                frame, address = self._socket.recvfrom(262_144)
            except TimeoutError:
                if self._ended:
                    return
                continue
            if address[2] != _PACKET_OUTGOING:
                self._take(frame)

    def _take(self, frame: bytes) -> None:
        kind = int.from_bytes(frame[12:14])
        if kind == _ETH_ARP:
            return
        packet = frame[14:]
        if kind != _ETH_IPV4 or packet[9] != _TCP:
            self.other.append(packet)
            return
        packet = packet[: int.from_bytes(packet[2:4]) or None]
        segment = packet[(packet[0] & 15) * 4 :]
        payload = segment[(segment[12] >> 4) * 4 :]
        if payload:
            key = (packet[12:20] + segment[:4], int.from_bytes(segment[4:8]), 0)
            self.segments[key] = max(self.segments.get(key, 0), len(payload))

    def close(self) -> int:
        """Stop listening, once nothing more comes; returns how many frames the kernel dropped."""
        self._ended = True
        self._thread.join()
        packed = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._socket.close()
        return int(struct.unpack("II", packed)[1])


def ask(settings: dict[str, Any], body: dict[str, Any]) -> tuple[bytes, int]:
    """One request on a connection of its own: the decrypted answer, and how many bytes came over the wire for it."""
    context = ssl.create_default_context(cadata=settings["certificate"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=settings["host"])
    content = json.dumps(body).encode()
    request = (
        f"POST /v1/query HTTP/1.1\r\nhost: {settings['host']}\r\nauthorization: Bearer {settings['token']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
    ).encode() + content
    with socket.create_connection((settings["host"], settings["port"]), timeout=60) as wire:
        return _exchange(tls, incoming, outgoing, wire, request)


def _exchange(
    tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, wire: socket.socket, request: bytes
) -> tuple[bytes, int]:
    plain, received, asked, ended = b"", 0, False, False
    while True:
        try:
            if not asked:
                tls.do_handshake()
                tls.write(request)
                asked = True
            part = tls.read(65_536)
            plain += part
            if part:
                continue
            ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        if ended:
            with suppress(ssl.SSLError):
                tls.unwrap()  # else the gateway waits for it
        wire.sendall(outgoing.read())
        arrived = wire.recv(65_536)
        received += len(arrived)
        if not arrived:
            return plain, received
        incoming.write(arrived)


def main() -> None:
    """Ask until standard input ends, then print the account."""
    settings = json.loads(sys.stdin.readline())
    link = Link(settings["interface"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    answers, explained = [], 0
    for line in sys.stdin:
        plain, received = ask(settings, json.loads(line))
        answers.append(base64.b64encode(plain).decode())
        explained += received
    dropped = link.close()
    account = {
        "answers": answers,
        "explained": explained,
        "tcp": sum(link.segments.values()),
        "other": [base64.b64encode(packet).decode() for packet in link.other],
        "dropped": dropped,
    }
    sys.stdout.write(f"{json.dumps(account)}\n")


if __name__ == "__main__":
    main()
