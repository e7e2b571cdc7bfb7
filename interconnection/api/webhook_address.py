"""Where a webhook may go: an exact list, one look-up, no private network. Everything else is refused (SSRF)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from derms.errors import InputError, RemoteError

MOST = 500
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Resolve = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """An address taken apart: scheme, host, port, path with query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def name(self) -> str:
        """Return host:port as the list of allowed hosts writes it."""
        return f"{self.host}:{self.port}"


def parse(url: str, *, allow_http: bool) -> Target:
    """Return the parts of an https address; raises InputError for anything with a trick in it.

    Refused: other schemes, a user or password, a fragment, backslashes, spaces and controls, non-ASCII hosts, and hosts
    written as octal, hexadecimal or single numbers.
    """
    if not url or len(url) > MOST or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise InputError("this is no web address", where="url", remedy=f"Plain ASCII, at most {MOST} characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError("this is no web address", where="url") from error
    if parts.scheme not in (("https", "http") if allow_http else ("https",)):
        raise InputError("only https is sent to", where="url", remedy="Give an https address.")
    if parts.username is not None or parts.password is not None or parts.fragment or "@" in parts.netloc:
        raise InputError("a user, a password or a fragment does not belong here", where="url")
    host = (parts.hostname or "").rstrip(".").lower()
    if not host or not _plain(host):
        raise InputError("this host is not a plain name or address", where="url")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path)


def _plain(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        # 0x7f.1, 2130706433, 017700000001: numbers that resolvers read as addresses.
        return not labels[-1].isdigit() and not labels[-1].startswith("0x") and all(labels) and len(host) <= 253
    return True


def allowed_by_list(target: Target, hosts: Sequence[str]) -> bool:
    """Say whether host and port stand in the list, exactly; an entry without a port means 443."""
    return target.name in {item if ":" in item.rsplit("]", 1)[-1] else f"{item}:443" for item in map(str.lower, hosts)}


def public(address: str, private_networks: Sequence[str]) -> bool:
    """Say whether an address may be connected to: global unicast, or in a network that is named explicitly."""
    found = ipaddress.ip_address(address.split("%", 1)[0])
    found = getattr(found, "ipv4_mapped", None) or found
    if found in NAT64:
        found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    if any(found in ipaddress.ip_network(network) for network in private_networks):
        return True
    tunnelled = isinstance(found, ipaddress.IPv6Address) and (found.sixtofour is not None or found.teredo is not None)
    return found.is_global and not found.is_multicast and not tunnelled


def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host; raises RemoteError."""
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise RemoteError(f"the host {host} has no address", where="url") from error
    return [str(row[4][0]) for row in rows]


def pick(target: Target, private_networks: Sequence[str], resolve: Resolve = look_up) -> str:
    """Resolve once and return the one address to connect to; raises InputError when any of them is private.

    The connection goes to this very address: a name that answers otherwise a moment later changes nothing.
    """
    found = list(resolve(target.host, target.port))
    if not found:
        raise RemoteError(f"the host {target.host} has no address", where="url")
    for address in found:
        if not public(address, private_networks):
            raise InputError(
                f"{target.host} leads to {address}, which is not public", where="url",
                remedy="The operator can name the network in WEBHOOK_PRIVATE_NETWORKS.",
            )  # fmt: skip
    return found[0]
