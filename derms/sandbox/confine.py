"""Confine the present process for good: no writing, no network, no new privileges, bounded time and memory.

Linux only. Landlock (kernel 5.13+) needs no root; its network rules came with ABI 4 (6.7). What a kernel cannot do is
returned, and the caller decides; without Landlock's file rules nothing untrusted is compiled.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_PR_SET_NO_NEW_PRIVS = 38
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
# All file rights by ABI: 13 in ABI 1, then refer, truncate, ioctl.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the child may use: seconds of CPU, bytes of address space."""

    cpu_s: int = 3600
    memory_bytes: int = 6 * 1024**3


@dataclass(frozen=True, slots=True)
class Confinement:
    """What holds now."""

    landlock_abi: int
    network_namespace: bool
    network_rules: bool


def confine(bounds: Bounds) -> Confinement:
    """Confine this process; everything that it will need must be imported already. Cannot be undone."""
    namespace = _leave_network()
    _limit(bounds)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    abi = _landlock_abi()
    if abi >= 1:
        _landlock(abi)
    return Confinement(abi, namespace, abi >= 4)


def _leave_network() -> bool:
    """Move into an empty network namespace where the kernel lets an ordinary user do so."""
    flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    return bool(_LIBC.unshare(flags) == 0)


def _limit(bounds: Bounds) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.cpu_s, bounds.cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (bounds.memory_bytes, bounds.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _landlock_abi() -> int:
    found = int(_LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    return max(found, 0)


def _landlock(abi: int) -> None:
    rights = _FILE_RIGHTS[min(abi, 5)]
    network = 0b11 if abi >= 4 else 0
    attributes = struct.pack("QQ", rights, network) if abi >= 4 else struct.pack("Q", rights)
    ruleset = int(_LIBC.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    for path in _readable():
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", _READ_FILE | _READ_DIR, handle)
        if _LIBC.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, ctypes.c_uint32(0)) != 0:
            raise OSError(ctypes.get_errno(), f"landlock_add_rule {path}")
        os.close(handle)
    if _LIBC.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)


def _readable() -> list[str]:
    """Return what late imports of the interpreter may still need; nothing may be executed or written."""
    wanted = {"/usr/lib", "/usr/share/zoneinfo", "/lib", "/lib64", f"{sys.prefix}/lib", f"{sys.base_prefix}/lib"}
    return sorted(path for path in wanted if Path(path).is_dir())
