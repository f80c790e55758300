"""What a lease is and what becomes of it: states and their changes, no I/O. Times are nanoseconds since 1970.

Source: "Lease Blob" and "Lease Container", the tables of outcomes by lease state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from embedded.adls.errors import StorageError

INFINITE = -1
_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Lease:
    """`duration_s` is 15 to 60, or INFINITE; `ends` is when it runs out (0 for never), `breaks` when a break takes effect (0 for no break)."""

    id: str
    duration_s: int
    ends: int
    breaks: int = 0

    def state(self, now: int) -> str:
        """leased, expired, breaking or broken."""
        if self.breaks:
            return "breaking" if now < self.breaks else "broken"
        return "leased" if not self.ends or now < self.ends else "expired"

    def active(self, now: int) -> bool:
        """Whether it still locks what it is on."""
        return self.state(now) in ("leased", "breaking")


def state_of(lease: Lease | None, now: int) -> str:
    return lease.state(now) if lease else "available"


def described(lease: Lease | None, now: int) -> dict[str, str]:
    """status, state and, of what is leased, duration: as headers and listings name them behind their prefix."""
    state = state_of(lease, now)
    told = {"status": "locked" if lease and lease.active(now) else "unlocked", "state": state}
    if lease and state == "leased":
        told["duration"] = "infinite" if lease.duration_s == INFINITE else "fixed"
    return told


def acquire(held: Lease | None, wanted: str, duration_s: int, now: int) -> Lease:
    """Raises StorageError LeaseAlreadyPresent or LeaseIsBreakingAndCannotBeAcquired."""
    if held and held.active(now):
        if held.id != wanted:
            raise StorageError("LeaseAlreadyPresent")
        if held.breaks:
            raise StorageError("LeaseIsBreakingAndCannotBeAcquired")
    return _started(wanted, duration_s, now)


def renew(held: Lease | None, given: str, now: int) -> Lease:
    """An expired one too, as long as nobody changed or leased what it was on. Raises StorageError LeaseIdMismatchWithLeaseOperation or
    LeaseIsBrokenAndCannotBeRenewed."""
    lease = _own(held, given)
    if lease.breaks:
        raise StorageError("LeaseIsBrokenAndCannotBeRenewed")
    return _started(lease.id, lease.duration_s, now)


def change(held: Lease | None, given: str, wanted: str, now: int) -> Lease:
    """Raises StorageError LeaseNotPresentWithLeaseOperation, LeaseIdMismatchWithLeaseOperation or LeaseIsBreakingAndCannotBeChanged."""
    if held is None or not held.active(now):
        raise StorageError("LeaseNotPresentWithLeaseOperation")
    if held.id not in (given, wanted):
        raise StorageError("LeaseIdMismatchWithLeaseOperation")
    if held.breaks:
        raise StorageError("LeaseIsBreakingAndCannotBeChanged")
    return replace(held, id=wanted)


def release(held: Lease | None, given: str) -> None:
    """Raises StorageError LeaseIdMismatchWithLeaseOperation."""
    _own(held, given)


def break_off(held: Lease | None, period_s: int | None, now: int) -> tuple[Lease, int]:
    """The lease and the seconds until it is broken: its rest or `period_s`, whatever is less; an infinite one breaks at once unless a period is
    given. Raises StorageError LeaseNotPresentWithLeaseOperation."""
    if held is None:
        raise StorageError("LeaseNotPresentWithLeaseOperation")
    rest = (held.breaks or held.ends) - now if held.breaks or held.ends else None
    wanted = None if period_s is None else period_s * _SECOND
    known = [span for span in (rest, wanted) if span is not None]
    span = max(min(known), 0) if known else 0
    return replace(held, breaks=max(now + span, 1)), -(-span // _SECOND)


def check(held: Lease | None, given: str, now: int, kind: str) -> None:
    """Before a change of what `held` is on, with the lease id that came along, '' for none.

    Args:
        kind: Blob or Container.

    Raises:
        StorageError: LeaseIdMissing, LeaseIdMismatchWith…Operation, LeaseNotPresentWith…Operation or LeaseLost.
    """
    active = held is not None and held.active(now)
    if active and not given:
        raise StorageError("LeaseIdMissing")
    check_given(held, given, now, kind)


def check_given(held: Lease | None, given: str, now: int, kind: str) -> None:
    """Before an operation that needs no lease id, but must have the right one if any."""
    if not given:
        return
    if held is None:
        raise StorageError(f"LeaseNotPresentWith{kind}Operation")
    if held.id != given:
        raise StorageError(f"LeaseIdMismatchWith{kind}Operation" if held.active(now) else f"LeaseNotPresentWith{kind}Operation")
    if not held.active(now):
        raise StorageError("LeaseLost")


def _own(held: Lease | None, given: str) -> Lease:
    if held is None or held.id != given:
        raise StorageError("LeaseIdMismatchWithLeaseOperation")
    return held


def _started(lease_id: str, duration_s: int, now: int) -> Lease:
    return Lease(lease_id, duration_s, 0 if duration_s == INFINITE else now + duration_s * _SECOND)
