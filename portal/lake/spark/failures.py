"""What Spark says when something fails, in words for a person: the first useful cause instead of a stack trace of Java's."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from portal.errors import PortalError, causes

_STAGE = re.compile(r"(?:most recent failure|Reason): (?:Lost task [^:]*?\): )?(.*)", re.S)
_CLASS = re.compile(r"^(?:[a-z][\w$]*\.)+([A-Z][\w$]*(?:Exception|Error|Failure|Throwable))(?::\s*|$)", re.M)
_TRACE = re.compile(r"^\s*(?:at [\w$.<>/]+\(|\.\.\. \d+ more|Driver stacktrace:|Caused by:)|;\s*\n['+]", re.M)
_PYTHON_LAST = re.compile(r"^(?:[\w.]+\.)?([A-Z]\w*(?:Error|Exception|Interrupt)?): (.*)$", re.M)
_MOST_CAUSES = 25
_LONGEST = 600
_THEIRS = ("py4j", "pyspark")
ENDED = "Spark has ended, and said no more."
_PASSING = re.compile(
    r"executor\s?lost|lost executor|connection (?:refused|reset)|connection to .* closed|timed? ?out|heartbeat|fetch ?failed|"
    r"spark has ended|answer from java side is empty|"
    r"all masters are unresponsive|no route to host|spark ?context was shut ?down|cannot call methods on a stopped",
    re.I,
)  # fmt: skip
_WRAPPERS = ("Job aborted", "Writing job aborted", "An error occurred while calling")
_HINTS = (
    (re.compile(r"all masters are unresponsive|Failed to connect to master", re.I), "Is SPARK_MASTER right, and does the master run?"),
    (re.compile(r"OutOfMemory|exit code 137|heap space", re.I), "Give SPARK_DRIVER_MEMORY or SPARK_EXECUTOR_MEMORY more."),
    (re.compile(r"ClassNotFoundException|NoClassDefFoundError", re.I), "Spark lacks the classes for this: it may need another jar (spark.jars)."),
    (re.compile(r"ModuleNotFoundError|No module named", re.I), "The executors' Python lacks a package: docs/spark.md tells how to pack it."),
    (re.compile(r"PYTHON_VERSION_MISMATCH|different version in worker", re.I), "Set PYSPARK_PYTHON to a Python of the driver's version."),
    (re.compile(r"No FileSystem for scheme", re.I), "Spark has no file system for these URLs: docs/spark.md tells which it reaches."),
    (re.compile(r"could not parse master url", re.I), "Is SPARK_MASTER right?"),
    (
        re.compile(r"spark has ended|answer from java side is empty", re.I),
        "Its Java was ended by somebody, or by the system for want of memory: do SPARK_DRIVER_MEMORY and the memory of the machine fit?",
    ),
)  # fmt: skip


class SparkFailed(PortalError):
    """Spark could not do what it was asked."""


class SparkPassing(SparkFailed):
    """Spark lost something on the way that may be there again later."""

    retryable = True


@contextmanager
def told(doing: str, *, cancelled: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Turn what Spark, py4j or Java raise inside into SparkFailed (SparkPassing where it may go through later).

    Args:
        doing: what was being done, to begin the message with: "Reading sales.orders"
        cancelled: raises Cancelled when the job was asked to stop; what Spark then says does not matter
    """
    try:
        yield
    except PortalError:
        raise
    except Exception as error:
        if _of_spark(error) is None:
            raise
        cancelled()
        raise failure(doing, error) from None


def failure(doing: str, error: BaseException) -> SparkFailed:
    """Return the error for a person. The trace is left out: it stands in Spark's own log."""
    error = _of_spark(error) or error
    cause = ENDED if _lost_java(error) else first_cause(error)
    whole = f"{cause} {_words(error)}"
    kind = SparkPassing if _PASSING.search(whole) else SparkFailed
    hint = next((text for pattern, text in _HINTS if pattern.search(whole)), "")
    return kind(f"{doing} failed: {cause}", hint=hint)


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # py4j asks Java for them
        return ""


def _of_spark(error: BaseException) -> BaseException | None:
    """Return what Spark or py4j raised, of the error and its causes."""
    return next((cause for cause in causes(error) if type(cause).__module__.startswith(_THEIRS) or _lost_java(cause)), None)


def _lost_java(error: BaseException) -> bool:
    """Whether nobody listened any more where Java was: py4j and pyspark let out what their sockets said."""
    if not isinstance(error, OSError | EOFError):
        return False
    through = {str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)}
    return "py4j" in through or ("pyspark" in through and isinstance(error, ConnectionError | EOFError))


def first_cause(error: BaseException) -> str:
    """Return what went wrong at first, in a line or two: the innermost cause that says something."""
    try:
        texts = [text for text in (useful(text) for text in _texts(error)) if text]
    except Exception:  # who could tell more, Java, is gone
        texts = [ENDED]
    return texts[-1] if texts else type(error).__name__


def _texts(error: BaseException) -> Iterator[str]:
    """Yield the messages from the outermost to the innermost cause, Java's where there are any."""
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    if java is None:
        yield getattr(error, "desc", None) or str(error)
        return
    seen = 0
    while java is not None and seen < _MOST_CAUSES:
        yield str(java.toString())
        java, seen = java.getCause(), seen + 1


def useful(text: str) -> str:
    """Return what a message of Java's says, without names of packages, traces and what only says that something failed; '' if nothing is left."""
    if found := _STAGE.search(text):
        text = found[1]
    if "Traceback (most recent call last)" in text:
        ends = _PYTHON_LAST.findall(text)
        text = ": ".join(ends[-1]) if ends else text
    if cut := _TRACE.search(text):
        text = text[: cut.start()]
    text = _CLASS.sub(lambda found: "" if found[1] in ("SparkException", "RuntimeException", "Exception") else f"{found[1]}: ", text).strip(" \n:")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    text = " ".join(lines)
    if text.startswith(_WRAPPERS):
        return ""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
