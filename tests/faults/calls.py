"""System calls as the kernel tells them: which kinds there are, and one call with its arguments decoded.

The kinds are lists of system calls of Linux, not of steps of the product: whatever the product does, it does with these.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from ptrace.syscall.names import SYSCALL_NAMES

RECENT = {
    424: "pidfd_send_signal", 435: "clone3", 436: "close_range", 437: "openat2", 439: "faccessat2", 434: "pidfd_open", 332: "statx", 452: "fchmodat2",
}  # fmt: skip
"""Calls newer than the table of python-ptrace; from 424 on their numbers are the same on every architecture."""

NAMES: dict[int, str] = {**{number: name for number, name in RECENT.items() if number >= 424 or os.uname().machine == "x86_64"}, **SYSCALL_NAMES}

SHORT = {
    "openat": "open", "openat2": "open", "creat": "open", "pwrite64": "pwrite", "pwritev2": "pwritev", "linkat": "link", "symlinkat": "symlink",
    "renameat": "rename", "renameat2": "rename", "unlinkat": "unlink", "mkdirat": "mkdir", "mknodat": "mknod", "fchmodat": "chmod",
    "fchmodat2": "chmod", "fchownat": "chown", "lchown": "chown", "utimensat": "utime", "futimesat": "utime", "utimes": "utime", "dup2": "dup",
    "dup3": "dup", "vfork": "fork", "clone": "fork", "clone3": "fork", "execveat": "execve", "tkill": "kill", "tgkill": "kill",
    "pidfd_send_signal": "kill", "rt_sigqueueinfo": "kill", "newfstatat": "stat", "lstat": "stat", "statx": "stat", "fstat": "stat",
    "faccessat": "access", "faccessat2": "access", "getdents": "getdents64", "pread64": "pread", "readlinkat": "readlink", "fstatfs": "statfs",
}  # fmt: skip
"""The name of a call whose variants do the same thing."""

WRITES = {"write", "pwrite", "writev", "pwritev"}
CONTENT = WRITES | {"truncate", "ftruncate", "fallocate", "sendfile", "copy_file_range", "splice"}
SYNCS = {"fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync"}
ENTRIES = {"link", "symlink", "rename", "unlink", "rmdir", "mkdir", "mknod"}
ATTRIBUTES = {"chmod", "fchmod", "chown", "fchown", "utime", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"}
LOCKS = {"flock"}
PROCESSES = {"fork", "execve", "kill"}
MESSAGES = {"sendmsg", "sendto", "sendmmsg", "connect", "bind"}
CHANGING = CONTENT | SYNCS | ENTRIES | ATTRIBUTES | LOCKS | PROCESSES | MESSAGES
"""Calls that change what others see. `open` does with O_CREAT or O_TRUNC, `fcntl` when it locks, `mmap` when it shares a file to write,
`close` when the file was open for writing, as every lock file is: see `Call.changes`."""
LOOKING = {"read", "pread", "getdents64", "stat", "statfs", "access", "readlink", "lseek"}
"""Calls that change nothing and may fail all the same; `open` of what is there is one of them."""
DESCRIPTORS = {"open", "close", "dup", "fcntl", "mmap", "memfd_create", "pipe", "pipe2"}
KNOWN = CHANGING | LOOKING | DESCRIPTORS

Stops = Literal["all", "known", "changing"]
"""At which calls a process is stopped. It may start others only with `all`, which is several times slower."""


def _numbers(kinds: set[str]) -> frozenset[int]:
    return frozenset(number for number, name in NAMES.items() if number < 512 and SHORT.get(name, name) in kinds)


NUMBERS: dict[Stops, frozenset[int]] = {"known": _numbers(KNOWN), "changing": _numbers(KNOWN - LOOKING)}

OPEN_CHANGES = os.O_CREAT | os.O_TRUNC | getattr(os, "O_TMPFILE", 0) & ~os.O_DIRECTORY


@dataclass(frozen=True)
class Call:
    """One system call. `name` is that of `SHORT`; dup stands for dup(2) and fcntl(F_DUPFD), lock for fcntl's locks.

    Attributes:
        numbers: its six arguments.
        paths: the absolute paths it is about, those behind descriptors included; of link, symlink and rename the old and the new one.
        fd: the descriptor it is about, or that it made; -1 for none.
        data: the bytes that were written (those that the kernel took).
        offset: where in the file they begin.
        flags: those of open, flock, rename, unlink.
        result: what it returned, or -errno.
        changes: it changes what another process, or the next one, may see.
    """

    name: str
    numbers: tuple[int, ...]
    paths: tuple[str, ...] = ()
    fd: int = -1
    data: bytes = field(default=b"", repr=False)
    offset: int = 0
    flags: int = 0
    result: int = 0
    changes: bool = False

    @property
    def path(self) -> str:
        return self.paths[0] if self.paths else ""

    @property
    def failed(self) -> bool:
        return self.result < 0

    def __str__(self) -> str:
        size = f", {len(self.data)} bytes at {self.offset}" if self.name in WRITES else ""
        return f"{self.name}({', '.join(self.paths)}{size}) = {self.result}"
