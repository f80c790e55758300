"""ptrace(2) and the registers of a stopped process, by ctypes; Linux 5.3 or newer on x86-64 and aarch64."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager

TRACEME, CONT, SYSCALL, SETOPTIONS, GETREGSET, SETREGSET, GET_SYSCALL_INFO = 0, 7, 24, 0x4200, 0x4204, 0x4205, 0x420E
WAIT_ALL = 0x40000000  # __WALL of waitpid(2)
_SYSGOOD, _TRACE_SECCOMP, _EXITKILL = 0x1, 0x80, 0x100000
SYSCALL_STOP = signal.SIGTRAP | 0x80
FILTER_STOP = signal.SIGTRAP | 7 << 8
"""A stop, as `os.WSTOPSIG` and the event above it: at the entry or exit of a call, or at the entry of one that the filter chose."""
ENTRY, EXIT, CHOSEN = 1, 2, 3
_PRSTATUS, _ARM_SYSTEM_CALL = 1, 0x404

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


# seccomp(2): a program of the Berkeley packet filter, each step (code, jump if true, jump if false, operand)
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_TO_TRACER, _ALLOW = 0x7FF00000, 0x7FFF0000
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2


def stop_only_at(numbers: Collection[int]) -> None:
    """Let this process stop for its tracer at these system calls alone; so would its children, which have no tracer and get ENOSYS."""
    jumps = [(_JUMP_IF_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    steps = [(_LOAD_WORD, 0, 0, 0), *jumps, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _TO_TRACER)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    for option, value, where in ((_PR_SET_NO_NEW_PRIVS, 1, 0), (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program))):
        if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(where), ctypes.c_ulong(0), ctypes.c_ulong(0)):
            raise OSError(ctypes.get_errno(), f"prctl({option})")


@contextmanager
def on_one_processor(other: int = 0) -> Iterator[None]:
    """Keep this process, and another one or what it forks, on the processor it is on: stops cost half as much when nobody is woken elsewhere."""
    before = os.sched_getaffinity(0)
    here = {_libc.sched_getcpu()}
    os.sched_setaffinity(0, here)
    if other:
        os.sched_setaffinity(other, here)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class SyscallInfo(ctypes.Structure):
    """struct ptrace_syscall_info: `op` tells which; `values` are number and arguments at the entry, result and is_error at the exit."""

    _fields_ = (
        ("op", ctypes.c_uint8), ("pad", ctypes.c_uint8 * 3), ("arch", ctypes.c_uint32), ("instruction", ctypes.c_uint64),
        ("stack", ctypes.c_uint64), ("values", ctypes.c_int64 * 8),
    )  # fmt: skip


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _request(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    result = _libc.ptrace(request, pid, address, data)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace({request}): {os.strerror(number)}")
    return int(result)


def trace_me() -> None:
    """Let the parent trace this process from the next stop on."""
    _request(TRACEME, 0)


def watch(pid: int) -> None:
    """Tell system call stops apart from signals, and let the traced process die with its tracer."""
    _request(SETOPTIONS, pid, 0, _SYSGOOD | _TRACE_SECCOMP | _EXITKILL)


def go_on(pid: int, number: int = 0, *, to_system_call: bool = True) -> None:
    _request(SYSCALL if to_system_call else CONT, pid, 0, number)


_size = ctypes.sizeof(SyscallInfo)


def look(pid: int, info: SyscallInfo) -> None:
    """Fill in the system call at whose entry or exit a process is stopped."""
    _request(GET_SYSCALL_INFO, pid, _size, ctypes.addressof(info))


# Registers: where the number, the third argument and the result are in the general register set.
_PLACES = {"x86_64": (27, 15, 12, 10), "aarch64": (34, None, 2, 0)}
_MACHINE = platform.machine()
CAN_CHANGE = _MACHINE in _PLACES


def _registers(pid: int, request: int, values: ctypes.Array[ctypes.c_uint64], kind: int = _PRSTATUS) -> None:
    vector = _Vector(ctypes.addressof(values), ctypes.sizeof(values))
    _request(request, pid, kind, ctypes.addressof(vector))


def _change(pid: int, place: int, value: int) -> None:
    values = (ctypes.c_uint64 * _PLACES[_MACHINE][0])()
    _registers(pid, GETREGSET, values)
    values[place] = value & 0xFFFF_FFFF_FFFF_FFFF
    _registers(pid, SETREGSET, values)


def skip_call(pid: int) -> None:
    """At the entry: let the kernel do nothing."""
    place = _PLACES[_MACHINE][1]
    if place is not None:
        _change(pid, place, -1)
        return
    number = ctypes.c_int(-1)
    vector = _Vector(ctypes.addressof(number), ctypes.sizeof(number))
    _request(SETREGSET, pid, _ARM_SYSTEM_CALL, ctypes.addressof(vector))


def set_third(pid: int, value: int) -> None:
    """At the entry: change the third argument, which is the length where there is one."""
    _change(pid, _PLACES[_MACHINE][2], value)


def set_result(pid: int, value: int) -> None:
    """At the exit: change what the call returns."""
    _change(pid, _PLACES[_MACHINE][3], value)
