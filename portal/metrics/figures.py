"""The queue in figures for Prometheus. Names and units follow prometheus.io/docs/practices/naming; labels are states, outcomes and engines only.

Counters come from the archive, so they go on where they were when the exporter is started again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from portal import catalog, clock, health
from portal.errors import PortalError
from portal.health import Health
from portal.jobs import id_ms
from portal.metrics.archive import ArchiveTotals
from portal.metrics.totals import BUCKETS_S, UNKNOWN, Totals, parted
from portal.settings import Settings
from portal.spool import pausing, reading
from portal.spool.layout import Layout, Waiting
from portal.spool.records import names
from portal.version import version

_LOOKED_AT = 1000
_COUNTERS = (
    ("jobs", "portal_jobs", "Jobs that finished, by how they ended.", "outcome"),
    ("attempts", "portal_job_attempts", "Starts of engines for jobs that finished, by how they ended.", "outcome"),
    ("bytes", "portal_job_bytes", "Bytes that finished jobs moved.", ""),
    ("cpu_s", "portal_job_cpu_seconds", "CPU time of the engines of finished jobs.", ""),
)
_HISTOGRAMS = (
    ("duration", "portal_job_duration_seconds", "Time from the first attempt to the end of a finished job, pauses between attempts included."),
    ("wait", "portal_job_wait_seconds", "Time from being due (submitted, or not-before when that is later) to the first attempt of a finished job."),
)


class QueueCollector(Collector):
    """Collects the figures of one queue anew at each scrape."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._layout = settings, Layout(settings)
        self._totals = ArchiveTotals(self._layout, catalog.names)

    def collect(self) -> Iterator[Metric]:
        """Yield the families. Raises PortalError when this user may not read the queue or the archive."""
        found = health.look(self._settings)
        yield from _service(found)
        yield from _queue(self._layout, found)
        yield from _workers(found)
        yield from _disks(found)
        yield from _archive(self._finished())

    def _finished(self) -> Totals:
        try:
            return self._totals.look()
        except PermissionError as error:
            hint = f"This user must be able to read {self._layout.archive}: add it to its group."
            raise PortalError("The archive cannot be read.", hint=hint) from error


def registry(settings: Settings) -> CollectorRegistry:
    """Return what Prometheus clients print or serve."""
    made = CollectorRegistry(auto_describe=False)
    made.register(_Undescribed(settings))
    return made


class _Undescribed(QueueCollector):
    """Registering must not collect: the first look at a large archive takes long."""

    def describe(self) -> list[Metric]:
        return []


def text(settings: Settings) -> bytes:
    """Return the figures of now in Prometheus's text format."""
    return generate_latest(registry(settings))


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


def _by(name: str, about: str, label: str, values: Iterator[tuple[str, float]]) -> GaugeMetricFamily:
    made = GaugeMetricFamily(name, about, labels=[label])
    for value, number in values:
        made.add_metric([value], number)
    return made


def _service(found: Health) -> Iterator[Metric]:
    build = GaugeMetricFamily("portal_build_info", "The code on the disk; always 1.", labels=["version"])
    build.add_metric([version()], 1)
    yield build
    yield _gauge("portal_healthy", "1 when `portal health` finds nothing that keeps jobs from being run, else 0.", found.well)
    yield _gauge("portal_problems", "Things that keep jobs from being run.", len(found.problems))


def _queue(layout: Layout, found: Health) -> Iterator[Metric]:
    states = (("ready", "queued"), ("delayed", "delayed"), ("running", "running"), ("cancel_requested", "cancel_requested"), ("corrupt", "corrupt"))
    jobs = ((state, float(found.counts.get(name, 0))) for state, name in states)
    yield _by("portal_queue_jobs", "Jobs in the queue by state; those to be cancelled count twice, corrupt are unreadable files.", "state", jobs)
    yield _gauge("portal_queue_oldest_seconds", "Seconds that the oldest ready job has been ready; 0 without one.", oldest_s(layout))
    paused = pausing.holds(layout)
    yield _gauge("portal_queue_paused", "1 while the whole queue is paused.", paused.queue is not None)
    engines = ((name, float(name in paused.engines)) for name in catalog.names())
    yield _by("portal_engine_paused", "1 while the engine is paused, whether or not the whole queue is.", "engine", engines)
    yield _by("portal_engine_running_jobs", "Running jobs by engine.", "engine", _running(layout))


def oldest_s(layout: Layout) -> float:
    """Return the seconds since the job that has been ready longest became ready, 0.0 without one; so seldom more than a few files are looked at.

    An id is as old as its submit, and a job became ready when its file was last moved, which is later or the same.
    """
    ids = sorted((item.job_id, name) for name in names(layout.queue) if (item := Waiting.ready(name)))
    oldest_ms = now_ms = clock.now_ms()
    for job_id, name in ids[:_LOOKED_AT]:
        if id_ms(job_id) >= oldest_ms:
            break
        oldest_ms = min(oldest_ms, _moved_ms(layout.queue / name, now_ms))
    return max(0, now_ms - oldest_ms) / 1000


def _moved_ms(path: Path, otherwise: int) -> int:
    try:
        return os.stat(path).st_ctime_ns // 1_000_000
    except FileNotFoundError:
        return otherwise


def _running(layout: Layout) -> Iterator[tuple[str, float]]:
    known, count = set(catalog.names()), dict[str, float]()
    for job in reading.running(layout):
        engine = job.engine if job.engine in known else UNKNOWN
        count[engine] = count.get(engine, 0) + 1
    yield from sorted(count.items())


def _workers(found: Health) -> Iterator[Metric]:
    living = [worker for worker in found.workers if worker.alive]
    states = {
        "working": sum(worker.takes_jobs for worker in living), "draining": sum(worker.draining for worker in living),
        "hanging": sum(worker.hanging for worker in living), "stopped": sum(worker.stopped for worker in living),
        "dead": len(found.workers) - len(living),
    }  # fmt: skip
    yield _by("portal_workers", "Workers by state; one that is both hanging and stopped counts in both.", "state", iter(states.items()))
    yield _gauge("portal_worker_slots", "Slots of the living workers.", sum(worker.slots for worker in living))
    yield _gauge("portal_worker_free_slots", "Slots in which a job could start now.", sum(worker.free for worker in living))
    beats = [worker.beat_age_s for worker in living if worker.beat_age_s is not None]
    yield _gauge("portal_worker_heartbeat_age_seconds", "Age of the oldest heartbeat of a living worker; 0 without one.", max(beats, default=0.0))


def _disks(found: Health) -> Iterator[Metric]:
    rooms = [(folder.name, disk) for disk in found.disks for folder in disk.folders]
    sizes = ((name, float(disk.size_bytes)) for name, disk in rooms)
    yield _by("portal_disk_free_bytes", "Room on the disk of a folder.", "folder", ((name, float(disk.free_bytes)) for name, disk in rooms))
    yield _by("portal_disk_size_bytes", "Size of the disk of a folder.", "folder", sizes)
    files = ((name, float(disk.free_files)) for name, disk in rooms if disk.free_files is not None)
    yield _by("portal_disk_free_files", "Files that the disk of a folder can still hold (inodes).", "folder", files)


def _archive(totals: Totals) -> Iterator[Metric]:
    figures: dict[str, dict[tuple[str, str], float]] = {}
    for name, value in sorted(totals.items()):
        figure, engine, label = parted(name)
        figures.setdefault(figure, {})[engine, label] = value
    for figure, name, about, label in _COUNTERS:
        family = CounterMetricFamily(name, about, labels=["engine", label] if label else ["engine"])
        for (engine, kind), number in figures.get(figure, {}).items():
            family.add_metric([engine, kind] if label else [engine], number)
        yield family
    for figure, name, about in _HISTOGRAMS:
        yield _histogram(name, about, figures.get(figure, {}), figures.get(f"{figure}_s", {}))


def _histogram(name: str, about: str, counts: dict[tuple[str, str], float], sums: dict[tuple[str, str], float]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, about, labels=["engine"])
    for engine in sorted({engine for engine, _ in counts}):
        so_far, buckets = 0.0, list[tuple[str, float]]()
        for place, bound in enumerate((*map(str, BUCKETS_S), "+Inf")):
            so_far += counts.get((engine, str(place)), 0)
            buckets.append((bound, so_far))
        family.add_metric([engine], buckets, sum_value=sums.get((engine, ""), 0.0))
    return family
