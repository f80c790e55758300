"""What a stopped process is about to ask the kernel for, read from its memory and its descriptors."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Sequence
from dataclasses import replace

from tests.faults.calls import CHANGING, KNOWN, NAMES, OPEN_CHANGES, SHORT, WRITES, Call

_F_DUPFD, _F_DUPFD_CLOEXEC = 0, 1030
_F_LOCKS = {5, 6, 7, 12, 13, 14, 36, 37, 38}
_AT_FDCWD, _AT_REMOVEDIR = -100, 0x200
_PROT_WRITE, _MAP_SHARED = 2, 1
_PATH_MAX = 4096

# Where the arguments are: (descriptor of the folder or None, path) for each path; the plain call first, then its *at variant.
_PATHS: dict[str, tuple[tuple[int | None, int], ...]] = {
    "open": ((None, 0),), "creat": ((None, 0),), "openat": ((0, 1),), "openat2": ((0, 1),), "link": ((None, 0), (None, 1)),
    "linkat": ((0, 1), (2, 3)),
    "rename": ((None, 0), (None, 1)), "renameat": ((0, 1), (2, 3)), "renameat2": ((0, 1), (2, 3)), "symlink": ((None, 0), (None, 1)),
    "symlinkat": ((None, 0), (1, 2)), "unlink": ((None, 0),), "unlinkat": ((0, 1),), "rmdir": ((None, 0),), "mkdir": ((None, 0),),
    "mkdirat": ((0, 1),), "mknod": ((None, 0),), "mknodat": ((0, 1),), "truncate": ((None, 0),), "chmod": ((None, 0),), "fchmodat": ((0, 1),),
    "chown": ((None, 0),), "lchown": ((None, 0),), "fchownat": ((0, 1),), "utimensat": ((0, 1),), "utimes": ((None, 0),), "futimesat": ((0, 1),),
    "execve": ((None, 0),), "stat": ((None, 0),), "lstat": ((None, 0),), "newfstatat": ((0, 1),), "statx": ((0, 1),), "access": ((None, 0),),
    "faccessat": ((0, 1),), "faccessat2": ((0, 1),), "readlink": ((None, 0),), "readlinkat": ((0, 1),), "statfs": ((None, 0),),
    "setxattr": ((None, 0),), "lsetxattr": ((None, 0),), "removexattr": ((None, 0),), "lremovexattr": ((None, 0),),
}  # fmt: skip
_BY_DESCRIPTOR = {
    "write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "fallocate", "fsync", "fdatasync", "syncfs", "sync_file_range", "fchmod",
    "fchown", "fsetxattr", "fremovexattr", "flock", "close", "dup", "dup2", "dup3", "fcntl", "read", "pread64", "getdents64", "fstat", "fstatfs",
    "lseek", "sendfile", "sendmsg", "sendto", "sendmmsg", "connect", "bind",
}  # fmt: skip
_FLAGS = {"open": 1, "openat": 2, "flock": 1, "unlinkat": 2, "renameat2": 4, "linkat": 4, "fcntl": 1}
_MESSAGE_KINDS = ("socket:", "pipe:")
_KNOWN = {number: (name, SHORT.get(name, name)) for number, name in NAMES.items() if SHORT.get(name, name) in KNOWN}
"""The name of the system and ours, by number."""


class Decoder:
    """Decodes the system calls of one process.

    Args:
        memory: a descriptor of its /proc/PID/mem.
        within: only calls about paths in this folder are told, and those that reach other processes; None: all.
    """

    def __init__(self, pid: int, memory: int, within: str | None) -> None:
        self.pid, self._memory, self.within = pid, memory, within
        self._inside = f"{within}/"

    def entered(self, values: Sequence[int]) -> Call | None:
        """Return the call at whose entry the process is stopped, or None when it is none of `calls.KNOWN`; `values`: number and arguments."""
        names = _KNOWN.get(values[0])
        return self._decoded(*names, tuple(values[1:7])) if names else None

    def left(self, call: Call, result: int) -> Call:
        """Return the call with its result, which it is stopped with at its exit."""
        if call.name == "open" and result >= 0:
            return replace(call, fd=result, result=result)
        return replace(call, data=call.data[: max(result, 0)], result=result) if call.data else replace(call, result=result)

    def _decoded(self, system_name: str, name: str, numbers: tuple[int, ...]) -> Call | None:
        flags = numbers[_FLAGS[system_name]] & 0xFFFF_FFFF if system_name in _FLAGS else 0
        if system_name == "fcntl":
            if flags in (_F_DUPFD, _F_DUPFD_CLOEXEC):
                name = "dup"
            elif flags in _F_LOCKS:
                name = "lock"
            else:
                return None
        if system_name == "openat2":
            (flags,) = struct.unpack("Q", self._bytes(numbers[2], 8))
        if system_name == "creat":
            flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
        if system_name == "unlinkat" and flags & _AT_REMOVEDIR:
            name = "rmdir"
        fd = _signed(numbers[0] if system_name in _BY_DESCRIPTOR else numbers[4] if name == "mmap" else -1)
        paths = (self._behind(fd),) if fd >= 0 else tuple(self._path(numbers, *place) for place in _PATHS.get(system_name, ()))
        if not self._may_concern(name, numbers, paths):
            return None
        call = Call(name, numbers, paths, fd, flags=flags)
        changes = self._changes(call)
        if not changes and not self._concerns(call):
            return None
        if name in WRITES and self._is_file(call):
            return replace(call, changes=changes, data=self._written(system_name, numbers), offset=self._offset(system_name, numbers, fd))
        return replace(call, changes=True) if changes else call

    def _may_concern(self, name: str, numbers: tuple[int, ...], paths: tuple[str, ...]) -> bool:
        """What can be told before it is known whether the call changes anything: most calls are about other paths."""
        if name == "kill" and numbers[:2] == (self.pid, signal.SIGSTOP):
            return False  # it tells the tracer that the action has ended
        if self.within is None or name == "dup" or not paths:
            return True
        return self._is_within(paths) or paths[0].startswith(_MESSAGE_KINDS)

    def _concerns(self, call: Call) -> bool:
        """What is left of the calls that change nothing."""
        if self.within is None or call.name == "dup" or not call.paths:
            return call.name != "mmap"
        return self._is_within(call.paths)

    def _is_within(self, paths: tuple[str, ...]) -> bool:
        assert self.within is not None
        return any(path == self.within or path.startswith(self._inside) for path in paths)

    def _changes(self, call: Call) -> bool:
        if call.name == "open":
            return bool(call.flags & OPEN_CHANGES)
        if call.name == "close":
            return self._is_file(call) and bool(self._descriptor(call.fd)[1] & os.O_ACCMODE)
        if call.name == "mmap":
            return call.fd >= 0 and bool(call.numbers[2] & _PROT_WRITE and call.numbers[3] & _MAP_SHARED)
        if call.name == "kill":
            return call.numbers[1] != 0
        return call.name in CHANGING or call.name == "lock"

    # What the arguments mean

    def _bytes(self, address: int, size: int) -> bytes:
        return os.pread(self._memory, size, address & 0xFFFF_FFFF_FFFF_FFFF) if address and size else b""

    def _path(self, numbers: tuple[int, ...], folder: int | None, place: int) -> str:
        text = os.fsdecode(self._bytes(numbers[place], _PATH_MAX).partition(b"\0")[0])
        if text.startswith("/"):
            return text
        number = _AT_FDCWD if folder is None else _signed(numbers[folder])
        base = os.readlink(f"/proc/{self.pid}/cwd") if number == _AT_FDCWD else self._behind(number)
        return os.path.normpath(os.path.join(base, text)) if text else base

    def _behind(self, fd: int) -> str:
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{fd}")
        except OSError:
            return ""

    def _is_file(self, call: Call) -> bool:
        return call.path.startswith("/") and (call.path.startswith("/dev/shm/") or not call.path.startswith(("/dev/", "/proc/", "/memfd:")))

    def _descriptor(self, fd: int) -> tuple[int, int]:
        """Position and flags of a descriptor (proc_pid_fdinfo(5))."""
        try:
            with open(f"/proc/{self.pid}/fdinfo/{fd}") as file:
                lines = dict(line.split(":\t", 1) for line in file if ":\t" in line)
        except OSError:
            return 0, 0
        return int(lines["pos"]), int(lines["flags"], 8)

    def _offset(self, system_name: str, numbers: tuple[int, ...], fd: int) -> int:
        if system_name in ("pwrite64", "pwritev", "pwritev2"):
            return numbers[3]
        position, flags = self._descriptor(fd)
        return os.stat(f"/proc/{self.pid}/fd/{fd}").st_size if flags & os.O_APPEND else position

    def _written(self, system_name: str, numbers: tuple[int, ...]) -> bytes:
        if system_name in ("write", "pwrite64"):
            return self._bytes(numbers[1], numbers[2])
        vectors = struct.iter_unpack("QQ", self._bytes(numbers[1], 16 * numbers[2]))
        return b"".join(self._bytes(base, size) for base, size in vectors)


def _signed(number: int) -> int:
    """A descriptor as the kernel reads it: the low 32 bits."""
    number &= 0xFFFF_FFFF
    return number - (1 << 32) if number >= 1 << 31 else number
