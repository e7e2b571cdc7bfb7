"""A DNP3 master by hand, for tests: it can break each rule on purpose. Written from IEEE 1815, no library beneath.

One blocking TCP connection; every request is one fragment; values of the few objects that the tests read are decoded.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from dataclasses import dataclass, field

START = b"\x05\x64"
READ, WRITE, SELECT, OPERATE, DIRECT, CONFIRM = 1, 2, 3, 4, 5, 0
LATCH_ON, LATCH_OFF, PULSE_ON = 3, 4, 1
ONLINE, COMM_LOST = 0x01, 0x04
# Objects by (group, variation): octets of flags + value, and how to read them; (flags?, format, time?)
LAYOUT = {
    (1, 2): ("B", False), (2, 2): ("B", True), (10, 2): ("B", False), (30, 1): ("Bi", False), (32, 1): ("Bi", False),
    (32, 3): ("Bi", True), (40, 1): ("Bi", False),
}  # fmt: skip


def crc(data: bytes) -> bytes:
    """Return the DNP3 cyclic redundancy check (polynomial 0x3D65, reflected), low octet first."""
    value = 0
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0xA6BC if value & 1 else 0)
    return struct.pack("<H", value ^ 0xFFFF)


@dataclass
class Object:
    """One decoded object."""

    group: int
    variation: int
    index: int
    flags: int
    value: int
    at_ms: int | None = None

    @property
    def good(self) -> bool:
        return bool(self.flags & ONLINE) and not self.flags & COMM_LOST


@dataclass
class Answer:
    """One response: internal indications and objects, or the raw octets of a control's echo."""

    iin: int
    objects: list[Object] = field(default_factory=list)
    body: bytes = b""


class Master:
    """A master at one end of one connection."""

    def __init__(self, port: int, *, address: int = 1, outstation: int = 1024, tls: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
        self._address, self._outstation = address, outstation
        self._sequence, self._transport, self._buffer = 0, 0, b""

    def close(self) -> None:
        self._socket.close()

    def request(self, function: int, body: bytes = b"") -> Answer:
        """Send a request and return its answer, fragments joined and confirmed."""
        self._sequence = (self._sequence + 1) % 16
        self._send(bytes([0xC0 | self._sequence, function]) + body)
        found, rest = Answer(0), b""
        while True:
            fragment = self._fragment()
            control, iin = fragment[0], struct.unpack("<H", fragment[2:4])[0]
            if control & 0x10:  # unsolicited: not ours
                continue
            found.iin = iin
            if function == READ:
                found.objects += decode(fragment[4:])
            rest += fragment[4:]
            if control & 0x20:
                self._send(bytes([0xC0 | (control & 0x0F), CONFIRM]))
            if control & 0x40:
                found.body = rest
                return found

    def integrity(self) -> dict[tuple[int, int], Object]:
        """Read classes 1, 2, 3 and 0; return the static objects by (group, index)."""
        answer = self.request(READ, bytes([60, 2, 6, 60, 3, 6, 60, 4, 6, 60, 1, 6]))
        return {(item.group, item.index): item for item in answer.objects if item.group in (1, 30)}

    def events(self) -> list[Object]:
        """Read classes 1, 2 and 3."""
        return self.request(READ, bytes([60, 2, 6, 60, 3, 6, 60, 4, 6])).objects

    def read(self, group: int, index: int) -> Object:
        """Read one point."""
        answer = self.request(READ, struct.pack("<BBBHH", group, 0, 1, index, index))
        return answer.objects[0]

    def control(self, function: int, block: bytes) -> int:
        """Send SELECT, OPERATE or DIRECT OPERATE; return the point's status, 255 when nothing was echoed."""
        answer = self.request(function, block)
        return answer.body[-1] if answer.body else 255

    def sbo(self, block: bytes) -> tuple[str, int]:
        """Select, then operate; return where it ended and the status."""
        status = self.control(SELECT, block)
        return ("select", status) if status else ("operate", self.control(OPERATE, block))

    def _send(self, fragment: bytes) -> None:
        segment = bytes([0xC0 | self._transport]) + fragment
        self._transport = (self._transport + 1) % 64
        head = START + struct.pack("<BBHH", 5 + len(segment), 0xC4, self._outstation, self._address)
        out = head + crc(head)
        for first in range(0, len(segment), 16):
            block = segment[first : first + 16]
            out += block + crc(block)
        self._socket.sendall(out)

    def _fragment(self) -> bytes:
        whole = b""
        while True:
            segment = self._segment()
            whole += segment[1:]
            if segment[0] & 0x80:
                return whole

    def _segment(self) -> bytes:
        head = self._exactly(10)
        assert head[:2] == START
        assert crc(head[:8]) == head[8:10]
        left, data = head[2] - 5, b""
        while left > 0:
            size = min(16, left)
            block = self._exactly(size + 2)
            assert crc(block[:size]) == block[size:]
            data += block[:size]
            left -= size
        return data if data else self._segment()

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError("closed by the outstation")
            self._buffer += more
        out, self._buffer = self._buffer[:count], self._buffer[count:]
        return out


def crob(index: int, code: int, count: int = 1) -> bytes:
    """Return a control relay output block with a two-octet index."""
    return struct.pack("<BBBHHBBIIB", 12, 1, 0x28, 1, index, code, count, 0, 0, 0)


def analog(index: int, raw: int) -> bytes:
    """Return a 32-bit analog output with a two-octet index."""
    return struct.pack("<BBBHHiB", 41, 1, 0x28, 1, index, raw, 0)


def decode(body: bytes) -> list[Object]:
    """Decode the objects of a response."""
    found: list[Object] = []
    place = 0
    while place < len(body):
        group, variation, qualifier = body[place : place + 3]
        place += 3
        indexed = qualifier in (0x17, 0x28)
        wide = qualifier in (0x01, 0x28)
        if indexed:
            count, first = int.from_bytes(body[place : place + 1 + wide], "little"), 0
            place += 1 + wide
        else:
            first, last = struct.unpack_from("<HH" if wide else "<BB", body, place)
            place += 4 if wide else 2
            count = last - first + 1
        for number in range(count):
            index = first + number
            if indexed:
                index = int.from_bytes(body[place : place + 1 + wide], "little")
                place += 1 + wide
            layout, timed = LAYOUT[(group, variation)]
            fields = struct.unpack_from("<" + layout, body, place)
            place += struct.calcsize("<" + layout)
            flags, value = fields[0], fields[1] if len(fields) > 1 else fields[0] >> 7
            at = int.from_bytes(body[place : place + 6], "little") if timed else None
            place += 6 if timed else 0
            found.append(Object(group, variation, index, flags, value, at))
    return found


def wait_for(holds, seconds: float = 10.0) -> bool:
    """Look until it holds, or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False
