"""A TCP relay that understands DNP3 frames: delays, swaps, repeats and swallows them, each way apart.

    python -m tests.chaos.proxy LISTEN_PORT TARGET_HOST TARGET_PORT CONTROL_FILE

The control file is JSON, read a few times a second: {"delay_s", "swap", "repeat", "drop_out", "drop_back"}.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path

START = b"\x05\x64"
HEADER = 10
BLOCK = 16
EVERY_S = 0.2


def frames(buffer: bytearray) -> list[bytes]:
    """Take the whole link frames (IEEE 1815-2012, 9.2) out of a buffer; what is left waits for more octets."""
    found = []
    while len(buffer) >= HEADER:
        if buffer[:2] != START:
            found.append(bytes(buffer))
            buffer.clear()
            break
        data = buffer[2] - 5
        size = HEADER + data + 2 * -(-data // BLOCK)
        if len(buffer) < size:
            break
        found.append(bytes(buffer[:size]))
        del buffer[:size]
    return found


class Proxy:
    """One listener and its connections."""

    def __init__(self, host: str, port: int, control: Path) -> None:
        self._host, self._port, self._control = host, port, control
        self.rules: dict[str, float] = {}

    async def serve(self, port: int) -> None:
        """Listen on loopback and follow the control file."""
        await asyncio.start_server(self._connected, "127.0.0.1", port)
        while True:
            try:
                self.rules = json.loads(self._control.read_text())
            except (OSError, ValueError):
                self.rules = {}
            await asyncio.sleep(EVERY_S)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.wait_for(asyncio.open_connection(self._host, self._port), 3)
        except (OSError, TimeoutError):
            writer.close()
            return
        await asyncio.gather(self._pump(reader, far_writer, "drop_out"), self._pump(far_reader, writer, "drop_back"))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, drop: str) -> None:
        buffer, held = bytearray(), b""
        try:
            while octets := await reader.read(65_536):
                buffer += octets
                for frame in frames(buffer):
                    if random.random() < self.rules.get(drop, 0.0):
                        continue
                    await asyncio.sleep(random.random() * self.rules.get("delay_s", 0.0))
                    if not held and random.random() < self.rules.get("swap", 0.0):
                        held = frame
                        continue
                    writer.write(frame)
                    if held:
                        writer.write(held)
                        held = b""
                    if random.random() < self.rules.get("repeat", 0.0):
                        writer.write(frame)
                await writer.drain()
        except OSError:
            pass  # the connection is gone: both ends are closed below
        finally:
            writer.close()


if __name__ == "__main__":
    asyncio.run(Proxy(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])).serve(int(sys.argv[1])))
