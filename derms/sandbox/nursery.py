"""Confined children by fork: one helper loads the engine once, and every child is a copy of it, in milliseconds.

To import the engine and to read its compiled kernels takes seconds of processor time; a fork takes a hundredth of one.
The helper itself never sees a model: it gets the two ends of a child's pipes, forks, and hands back a pidfd. What the
child does first is what one that was started alone does: it locks itself in. One helper belongs to one process; it ends
with it.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from derms.errors import LocalError

PROJECT = Path(__file__).resolve().parents[2]
REAP_EVERY_S = 5.0
FIRST_S = 600.0
"""The helper's own start: the first one of a version compiles every kernel, a minute on a quiet machine."""
NEXT_S = 30.0
"""A helper that has given birth before and is silent for so long is not waited for: a control room has not the time."""


class Forked:
    """A child of the helper, as the process that asked for it sees it: pipes, and a pidfd that no other process can get."""

    def __init__(self, pid: int, handle: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self._handle: int | None = handle

    def poll(self) -> int | None:
        """Return None while the child runs."""
        return None if self._handle is not None and not self._ended(0) else -1

    def kill(self) -> None:
        """End the child."""
        if self._handle is not None:
            try:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            except ProcessLookupError:
                return

    def wait(self) -> int:
        """Wait until the child has ended; its status stays with the helper, so -1."""
        if self._handle is not None:
            self._ended(None)
            os.close(self._handle)
            self._handle = None
        return -1

    def _ended(self, timeout_ms: int | None) -> bool:
        poll = select.poll()
        poll.register(self._handle or -1, select.POLLIN)
        return bool(poll.poll(timeout_ms))


class Nursery:
    """This process's helper, started at the first birth. Safe for threads; a fork of this process gets its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._helper: tuple[int, subprocess.Popen[bytes], socket.socket] | None = None

    def born(self, environment: dict[str, str]) -> Forked:
        """Return a new child that waits for its first message; raises LocalError where the helper cannot be had."""
        with self._lock:
            for _ in range(2):  # once more: the helper may have died since the last birth
                control = self._control(environment)
                theirs_in, ours_in = os.pipe()
                ours_out, theirs_out = os.pipe()
                try:
                    socket.send_fds(control, [b"one"], [theirs_in, theirs_out])
                    told, handles, _, _ = socket.recv_fds(control, 32, 1)
                except OSError:
                    told, handles = b"", []
                finally:
                    os.close(theirs_in)
                    os.close(theirs_out)
                if told and handles:
                    control.settimeout(NEXT_S)
                    return Forked(int(told), handles[0], os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb", 0))
                os.close(ours_in)
                os.close(ours_out)
                self._forget()
        raise LocalError("the helper that starts feeders' processes does not answer", where="sandbox")

    def warm(self, environment: dict[str, str]) -> None:
        """Start the helper now, without waiting for it."""
        with self._lock:
            self._control(environment)

    def close(self) -> None:
        """End the helper; its children live on until their pipes are closed."""
        with self._lock:
            self._forget()

    def _control(self, environment: dict[str, str]) -> socket.socket:
        if self._helper is not None and self._helper[0] == os.getpid():
            return self._helper[2]
        if self._helper is not None:  # we are a fork: the helper is our parent's
            self._helper[2].close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "derms.sandbox.nursery"], stdin=theirs.fileno(), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, cwd=PROJECT, env=environment, start_new_session=True,
            )  # fmt: skip
        ours.settimeout(FIRST_S)
        self._helper = (os.getpid(), process, ours)
        return ours

    def _forget(self) -> None:
        if self._helper is None:
            return
        owner, process, control = self._helper
        control.close()
        if owner == os.getpid():
            process.kill()
            process.wait()
        self._helper = None


NURSERY = Nursery()


def main() -> None:
    """Serve as the helper on standard input, a socket, until the other end is closed."""
    from derms.sandbox.child import preload

    control = socket.socket(fileno=os.dup(0))
    preload()
    gc.collect()
    gc.freeze()  # what is never collected is never written to, and stays shared
    while True:
        ready, _, _ = select.select([control], [], [], REAP_EVERY_S)
        if ready and not _one(control):
            return
        _reap()


def _one(control: socket.socket) -> bool:
    told, handles, _, _ = socket.recv_fds(control, 32, 2)
    if not told:
        return False
    pid = os.fork()
    if pid == 0:
        _be_the_child(control, handles)
    # The pidfd before anything is reaped: until then the number is this child's, even if it has ended.
    pidfd = os.pidfd_open(pid)
    try:
        socket.send_fds(control, [str(pid).encode()], [pidfd])
    finally:
        for handle in (pidfd, *handles):
            os.close(handle)
    return True


def _be_the_child(control: socket.socket, handles: list[int]) -> None:
    from derms.sandbox.child import serve_one

    status = 1
    try:
        control.close()
        os.setsid()
        os.dup2(handles[0], 0)
        os.dup2(handles[1], 1)
        for handle in handles:
            os.close(handle)
        serve_one()
        status = 0
    finally:
        os._exit(status)  # never back into the helper's loop


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
