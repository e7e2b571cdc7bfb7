"""Thousands of simulated DNP3 sites in one process: real sockets and frames, as little work as an outstation can do.

Run as `python -m telemetry.benchmarks.dnp3_sites COUNT`. Prints the ports, then answers `{"do": "log"}` lines on standard
input with what was latched since the last one: [site, "on" or "off", monotonic seconds]. It answers what our master asks,
takes grants and revocations, and checks no more than CRCs: the load is the master's, the site's own code has other tests.
"""

from __future__ import annotations

import asyncio
import json
import resource
import struct
import sys
import time
from functools import lru_cache, partial

from telemetry.protocols.dnp3 import points as p

RATING_W = 100_000
SELECT, OPERATE, READ, RESPONSE = 3, 4, 1, 0x81
TABLE = []
for _octet in range(256):
    _value = _octet
    for _ in range(8):
        _value = _value >> 1 ^ (0xA6BC if _value & 1 else 0)
    TABLE.append(_value)


@lru_cache(maxsize=1 << 17)
def crc(data: bytes) -> bytes:
    """Return a block's check, low octet first."""
    value = 0
    for octet in data:
        value = value >> 8 ^ TABLE[(value ^ octet) & 0xFF]
    return struct.pack("<H", value ^ 0xFFFF)


class Site(asyncio.Protocol):
    """One site's one connection."""

    def __init__(self, number: int, log: list[tuple[int, str, float]]) -> None:
        self._number, self._log = number, log
        self._buffer, self._transport_sequence = b"", 0
        self._outputs: dict[int, int] = {}
        self._in_force = (-1, -1)
        self._limit = (200, 200)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer each whole frame."""
        self._buffer += data
        while len(self._buffer) >= 10:
            length = self._buffer[2]
            user = length - 5
            size = 10 + user + 2 * -(-user // 16)
            if len(self._buffer) < size:
                return
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            if frame[:2] != b"\x05\x64" or crc(frame[:8]) != frame[8:10]:
                assert self._transport is not None
                self._transport.close()
                return
            if user == 0:
                self._link(frame)
            else:
                blocks = [frame[10 + 18 * place : 10 + 18 * place + 18] for place in range(-(-user // 16))]
                self._fragment(b"".join(block[:-2] for block in blocks)[1:], frame)

    def _link(self, frame: bytes) -> None:
        if frame[3] & 0x0F == 9:  # request link status
            self._frame(0x0B, frame, b"")

    def _fragment(self, fragment: bytes, frame: bytes) -> None:
        control, function, body = fragment[0], fragment[1], fragment[2:]
        if function == 0:
            return
        answer = b""
        if function == READ:
            answer = self._values()
        elif function in (SELECT, OPERATE):
            answer = body
            if function == OPERATE:
                self._operate(body)
        sequence = self._transport_sequence
        self._transport_sequence = (sequence + 1) % 64
        head = bytes([0xC0 | sequence, 0xC0 | control & 0x0F, RESPONSE, 0, 0])
        self._frame(0x44, frame, head + answer)

    def _operate(self, body: bytes) -> None:
        place = 0
        while place < len(body):
            group, wide = body[place], body[place + 2] == 0x28
            count = int.from_bytes(body[place + 3 : place + 4 + wide], "little")
            place += 4 + wide
            for _ in range(count):
                index = int.from_bytes(body[place : place + 1 + wide], "little")
                place += 1 + wide
                if group == 41:
                    self._outputs[index] = struct.unpack_from("<i", body, place)[0]
                    place += 5
                else:
                    self._latch(index, body[place])
                    place += 11

    def _latch(self, index: int, code: int) -> None:
        if index != p.BO_LIMIT_ENABLE:
            return
        if code & 0x0F == 3:
            self._in_force = (self._outputs.get(p.AO_EPOCH, 0), self._outputs.get(p.AO_SEQUENCE, 0))
            self._limit = (self._outputs.get(p.AO_IMPORT_LIMIT, 0), self._outputs.get(p.AO_EXPORT_LIMIT, 0))
            self._log.append((self._number, "on", time.monotonic()))
        else:
            self._in_force, self._limit = (-1, -1), (200, 200)
            self._log.append((self._number, "off", time.monotonic()))

    def _values(self) -> bytes:
        stamp = int(time.monotonic() * 100) % p.STAMP_MODULO
        analogs = {
            p.AI_EDITION: p.EDITION, p.AI_GENERATION_RATING_W: RATING_W, p.AI_CHARGE_RATING_W: -RATING_W,
            p.AI_IMPORT_LIMIT_IN_FORCE: self._limit[0], p.AI_EXPORT_LIMIT_IN_FORCE: self._limit[1],
            p.AI_POWER_W: -15_000, p.AI_STATE_OF_CHARGE: 555, p.AI_VOLTAGE: 10_000, p.AI_STAMP: stamp,
            p.AI_EPOCH_IN_FORCE: self._in_force[0], p.AI_SEQUENCE_IN_FORCE: self._in_force[1],
        }  # fmt: skip
        out = b""
        for group, variation, first, last in ((30, 1, p.AI_EDITION, p.AI_EDITION), *p.POLL):
            out += struct.pack("<BBBHH", group, variation, 1, first, last)
            for index in range(first, last + 1):
                if group == 30:
                    out += struct.pack("<Bi", 1, analogs.get(index, 0))
                else:
                    out += bytes([0x81 if self._in_force[0] < 0 else 0x01])
        return out

    def _frame(self, control: int, request: bytes, user: bytes) -> None:
        head = b"\x05\x64" + bytes([5 + len(user), control]) + request[6:8] + request[4:6]
        out = head + crc(head)
        for first in range(0, len(user), 16):
            block = user[first : first + 16]
            out += block + crc(block)
        assert self._transport is not None
        self._transport.write(out)


async def main(count: int) -> None:
    """Serve until standard input ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    log: list[tuple[int, str, float]] = []
    ports = []
    for number in range(count):
        server = await loop.create_server(partial(Site, number, log), "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
    source = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin)
    _say(ports)
    while await source.readline():
        taken, log[:] = list(log), []
        _say(taken)


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
