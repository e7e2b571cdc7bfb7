"""The DNP3 master in a process of its own: yadnp3 on one side, JSON lines on standard input and output on the other.

Run as `python -m telemetry.protocols.dnp3.master_process`. Never inside a web or queue worker, never after a fork.

Rules that trials taught: callbacks only put into a queue and never raise (an exception in a result callback ends the
process); nothing is disabled or shut down inside a callback; `Shutdown` runs exactly once, from the main thread; a summary
of SUCCESS only says that the exchange worked, so each point's own status decides; the controls of one grant go out one
after another, each selected and operated, and the first that is not taken stops the rest.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import opendnp3 as dnp3

from telemetry.protocols.dnp3 import points as p

Event = tuple[str, Any]
Points = dict[int, tuple[float, int]]
MOST_WAITING = 8
ANY_LOCAL_END = ".".join("0000")  # the kernel picks the outgoing address; nothing listens


@dataclass
class _Site:
    """One association: its master session, the request under way, the points that came with it."""

    name: str
    timeout_ms: int
    master: Any = None
    channel: Any = None
    handlers: tuple[Any, ...] = ()
    request: dict[str, Any] | None = None
    analogs: dict[int, tuple[float, int]] = field(default_factory=dict)
    binaries: dict[int, tuple[float, int]] = field(default_factory=dict)
    waiting: deque[dict[str, Any]] = field(default_factory=deque)
    left: list[tuple[str, int, int]] = field(default_factory=list)
    poll: tuple[tuple[int, int, int, int], ...] = ()
    identity: dict[int, tuple[float, int]] = field(default_factory=dict)
    ready: bool = False
    settling: bool = False
    is_open: bool = False
    session: int = 0
    requests: int = 0


class _Soe(dnp3.ISOEHandler):  # type: ignore[misc]
    """Takes the values of one fragment together and puts them into the queue once: each crossing of threads costs."""

    def __init__(self, site: str, events: SimpleQueue[Event]) -> None:
        super().__init__()
        self._site, self._events = site, events
        self._analogs: Points = {}
        self._binaries: Points = {}

    def BeginFragment(self, info: Any) -> None:
        """Start anew."""
        self._analogs, self._binaries = {}, {}

    def EndFragment(self, info: Any) -> None:
        """Pass on what came."""
        self._events.put(("values", (self._site, self._analogs, self._binaries)))

    def OnDeviceAttribute(self, *arguments: Any) -> None:
        """Nothing to do."""

    def Process(self, info: Any, values: Any) -> None:
        """Take analog and binary inputs with their flags."""
        group = info.gv.name
        if group.startswith(("Group30Var", "Group32Var")):
            target = self._analogs
        elif group.startswith(("Group1Var", "Group2Var")):
            target = self._binaries
        else:
            return
        for item in values:
            value = item.value
            target[item.index] = (float(value.value), value.flags.value)


class _Application(dnp3.IMasterApplication):  # type: ignore[misc]
    """Hears when a task has ended; only puts that into the queue."""

    def __init__(self, site: str, events: SimpleQueue[Event]) -> None:
        super().__init__()
        self._site, self._events = site, events

    def AssignClassDuringStartup(self) -> bool:
        """Leave the outstation's classes as they are."""
        return False

    def OnClose(self) -> None:
        """Nothing to do."""

    def OnOpen(self) -> None:
        """Nothing to do."""

    def OnReceiveIIN(self, iin: Any) -> None:
        """Nothing to do."""

    def OnTaskStart(self, kind: Any, identity: Any) -> None:
        """Nothing to do."""

    def OnTaskComplete(self, info: Any) -> None:
        """Pass on the end of a user's scan, and that the device said it had restarted."""
        if info.type == dnp3.MasterTaskType.USER_TASK:
            self._events.put(("scan", (self._site, info.result.name)))
        elif info.type == dnp3.MasterTaskType.CLEAR_RESTART:
            self._events.put(("restart", self._site))


class _Listener(dnp3.IChannelListener):  # type: ignore[misc]
    """Hears of connections; only puts that into the queue."""

    def __init__(self, site: str, events: SimpleQueue[Event]) -> None:
        super().__init__()
        self._site, self._events = site, events

    def OnStateChange(self, state: Any) -> None:
        """A request on a closed channel fails by itself; the next one waits for the integrity poll."""
        self._events.put(("link", (self._site, state == dnp3.ChannelState.OPEN)))


class MasterProcess:
    """Owns the manager; one thread (the main one) does everything but the callbacks."""

    def __init__(self) -> None:
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._manager = dnp3.DNP3Manager(2)
        self._sites: dict[str, _Site] = {}
        self._channels = 0

    def run(self) -> None:
        """Serve until standard input ends."""
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            while True:
                kind, what = self._events.get()
                if kind == "end":
                    return
                self._handle(kind, what)
        finally:
            for site in self._sites.values():
                site.master.Disable()
            self._manager.Shutdown()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._events.put(("request", json.loads(line)))
        self._events.put(("end", None))

    def _handle(self, kind: str, what: Any) -> None:
        if kind == "request":
            self._request(what)
        elif (what if isinstance(what, str) else what[0]) not in self._sites:
            return  # it was removed
        elif kind == "values":
            name, analogs, binaries = what
            site = self._sites[name]
            site.analogs.update(analogs)
            site.binaries.update(binaries)
            if not site.ready:
                site.identity.update({index: analogs[index] for index in p.IDENTITY if index in analogs})
        elif kind == "link":
            self._link(*what)
        elif kind == "restart":
            self._sites[what].session += 1
        elif kind == "scan":
            self._scanned(*what)
        elif kind == "operated":
            self._operated(*what)

    def _link(self, name: str, is_open: bool) -> None:
        """After each connection an integrity poll: the stack makes one by itself only when the device says it restarted."""
        site = self._sites[name]
        site.ready, site.settling, site.is_open = False, False, is_open
        self._settle(site)

    def _settle(self, site: _Site) -> None:
        if site.is_open and not site.settling and site.request is None:
            site.settling = True
            site.requests += 1
            site.master.ScanClasses(dnp3.ClassField.AllClasses(), site.handlers[0])

    def _settled(self, name: str, done: bool) -> None:
        site = self._sites[name]
        site.settling = False
        if done and site.is_open:
            site.session += 1
            site.ready = True

    def _request(self, request: dict[str, Any]) -> None:
        name = request["site"]
        if request["do"] == "add":
            self._sites[name] = self._add(request)
            self._answer(request, {"ok": True})
            return
        site = self._sites.get(name)
        if site is None:
            self._answer(request, {"ok": False, "why": "unknown site"})
        elif request["do"] == "remove":
            self._remove(site)
            self._answer(request, {"ok": True})
        elif site.request is not None:
            self._wait(site, request)
        elif not site.ready:
            self._answer(request, {"ok": False, "why": "FAILURE_NO_COMMS: no integrity poll yet"})
            self._settle(site)
            if site.waiting:
                self._request(site.waiting.popleft())
        elif request["do"] == "read":
            site.request, site.analogs, site.binaries = request, {}, {}
            site.requests += 1
            site.master.Scan([dnp3.Header.Range16(*item) for item in site.poll], site.handlers[0])
        elif request["do"] == "operate":
            site.request = request
            site.left = [(str(kind), int(index), int(value)) for kind, index, value in request["points"]]
            self._next_control(site)

    def _wait(self, site: _Site, request: dict[str, Any]) -> None:
        """One request at a time goes to a site; commands wait before polls, and not many of either."""
        if len(site.waiting) >= MOST_WAITING:
            self._answer(request, {"ok": False, "why": "busy"})
        elif request["do"] == "read":
            site.waiting.append(request)
        else:
            site.waiting.appendleft(request)

    def _add(self, request: dict[str, Any]) -> _Site:
        site = _Site(request["site"], int(request["timeout_ms"]), poll=tuple(tuple(item) for item in request["poll"]))
        retry = dnp3.ChannelRetry(dnp3.TimeDuration.Milliseconds(100), dnp3.TimeDuration.Seconds(2))
        endpoint = dnp3.IPEndpoint(request["host"], int(request["port"]))
        listener = _Listener(site.name, self._events)
        self._channels += 1
        site.channel = self._manager.AddTCPClient(
            f"{site.name} {self._channels}",
            dnp3.levels.NOTHING,
            retry,
            [endpoint],
            ANY_LOCAL_END,
            listener,
        )
        config = dnp3.MasterStackConfig()
        config.master.responseTimeout = dnp3.TimeDuration.Milliseconds(site.timeout_ms)
        config.master.taskStartTimeout = dnp3.TimeDuration.Milliseconds(site.timeout_ms)
        config.master.disableUnsolOnStartup = True
        config.link.LocalAddr = p.MASTER_ADDRESS
        config.link.RemoteAddr = p.OUTSTATION_ADDRESS
        soe, application = _Soe(site.name, self._events), _Application(site.name, self._events)
        site.handlers = (soe, application, listener)
        site.master = site.channel.AddMaster(site.name, soe, application, config)
        site.master.Enable()
        return site

    def _remove(self, site: _Site) -> None:
        """Close one association; what its callbacks still put into the queue finds no site any more."""
        del self._sites[site.name]
        while site.waiting:
            self._answer(site.waiting.popleft(), {"ok": False, "why": "removed"})
        if site.request is not None:
            self._finish(site, {"ok": False, "why": "removed"})
        site.master.Shutdown()
        site.channel.Shutdown()

    def _scanned(self, name: str, result: str) -> None:
        site = self._sites[name]
        if site.settling and site.request is None:
            self._settled(name, result == "SUCCESS")
            return
        if site.request is None or site.request["do"] != "read":
            return
        self._finish(
            site,
            {
                "ok": result == "SUCCESS",
                "why": result,
                "analogs": site.analogs,
                "binaries": site.binaries,
                "identity": site.identity,
            },
        )

    def _next_control(self, site: _Site) -> None:
        kind, index, value = site.left[0]
        site.requests += 2  # SELECT and OPERATE
        events, name = self._events, site.name

        def done(result: Any) -> None:
            try:
                states = [(item.index, item.state.name, item.status.name) for item in result.to_list()]
                events.put(("operated", (name, result.summary.name, states)))
            except Exception as error:  # noqa: BLE001  (an exception here would end the process)
                events.put(("operated", (name, f"CALLBACK {error}", [])))

        if kind == "AO":
            command: Any = dnp3.AnalogOutputInt32(value)
        else:
            command = dnp3.ControlRelayOutputBlock(dnp3.OperationType.LATCH_ON if value else dnp3.OperationType.LATCH_OFF)
        site.master.SelectAndOperate(command, index, done)

    def _operated(self, name: str, summary: str, states: list[tuple[int, str, str]]) -> None:
        site = self._sites[name]
        if site.request is None or site.request["do"] != "operate":
            return
        taken = (
            summary == "SUCCESS"
            and bool(states)
            and all(state == "SUCCESS" and status == "SUCCESS" for _, state, status in states)
        )
        if taken and len(site.left) > 1:
            site.left.pop(0)
            self._next_control(site)
            return
        why = "" if taken else f"{site.left[0][0]}{site.left[0][1]}: {summary} {states}"
        # Refused: the device answered no. Anything else about an OPERATE is unknown until it is read back.
        refused = not taken and summary == "SUCCESS"
        self._finish(site, {"ok": taken, "why": why, "refused": refused})

    def _finish(self, site: _Site, answer: dict[str, Any]) -> None:
        request, site.request = site.request, None
        assert request is not None
        self._answer(request, answer | {"requests": site.requests, "session": site.session})
        if site.waiting:
            self._request(site.waiting.popleft())

    def _answer(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps({"id": request["id"], **answer}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    MasterProcess().run()
