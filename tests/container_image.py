"""What an image would hold, worked out from Dockerfile and .dockerignore without an engine that builds it.

Instructions: https://docs.docker.com/reference/dockerfile/ · patterns: https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Stage:
    """One FROM of a Dockerfile and what follows it. `files` are by their path in the image; only those that come out of the context."""

    name: str
    parent: str
    instructions: list[tuple[str, str]] = field(default_factory=list)
    files: dict[PurePosixPath, Path] = field(default_factory=dict)
    folder: PurePosixPath = field(default_factory=PurePosixPath)

    def all(self, word: str) -> list[str]:
        return [rest for name, rest in self.instructions if name == word]


@cache
def stages() -> dict[str, Stage]:
    """Read the Dockerfile and follow its COPYs. Raises AssertionError for one that copies nothing."""
    found: dict[str, Stage] = {}
    for word, rest in _instructions((ROOT / "Dockerfile").read_text("utf-8")):
        if word == "FROM":
            parent, _, name = rest.partition(" AS ")
            base = found.get(parent)
            stage = found[name] = Stage(name, parent)
            if base:
                stage.instructions, stage.files, stage.folder = [*base.instructions], {**base.files}, base.folder
        elif found:
            stage = next(reversed(found.values()))
            stage.instructions.append((word, rest))
            if word == "WORKDIR":
                stage.folder = PurePosixPath("/") / stage.folder / rest
            elif word == "COPY":
                _copy(stage, rest, found)
    return found


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for instruction in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        word, _, rest = instruction.partition(" ")
        yield word, " ".join(rest.split())


def _copy(stage: Stage, rest: str, known: dict[str, Stage]) -> None:
    words = shlex.split(rest)
    source = next((word.partition("=")[2] for word in words if word.startswith("--from=")), "")
    *names, target = [word for word in words if not word.startswith("--")]
    there = known[source].files if source else context()
    place = stage.folder / target
    into = target.endswith("/") or len(names) > 1
    for name in names:
        wanted = PurePosixPath(name) if source else PurePosixPath("/") / name
        taken = {path: file for path, file in there.items() if path == wanted or wanted in path.parents}
        assert taken or name.endswith(".venv"), f"COPY {rest}: there is no {name}"
        for path, file in taken.items():
            inner = path.relative_to(wanted)
            stage.files[place / wanted.name if into and inner == PurePosixPath(".") else place / inner] = file


def context() -> dict[PurePosixPath, Path]:
    """The files that reach the build, by their path below /."""
    patterns = ignored()
    kept = {}
    for folder, folders, names in os.walk(ROOT):
        if folder == str(ROOT):
            folders[:] = [name for name in folders if _may_hold(name, patterns)]
        for name in names:
            inner = Path(folder, name).relative_to(ROOT).as_posix()
            if lets_through(inner, patterns):
                kept[PurePosixPath("/") / inner] = Path(folder, name)
    return kept


def _may_hold(folder: str, patterns: list[tuple[bool, re.Pattern[str]]]) -> bool:
    return any(not leaves_out and pattern.pattern.startswith(re.escape(folder)) for leaves_out, pattern in patterns)


def ignored() -> list[tuple[bool, re.Pattern[str]]]:
    """The patterns of .dockerignore: whether each leaves out, and what it fits."""
    lines = [line.strip() for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]
    return [(not rule.startswith("!"), re.compile(_regex(rule.lstrip("!").strip("/")))) for rule in rules]


def _regex(pattern: str) -> str:
    """A pattern fits a path, or a folder that the path is in."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(parts.get(piece, re.escape(piece)) for piece in re.split(r"(\*\*/|\*\*|\*|\?)", pattern)) + "(?:/.*)?"


def lets_through(path: str, patterns: list[tuple[bool, re.Pattern[str]]]) -> bool:
    """Tell whether a path below the context reaches the build: the last pattern that fits decides."""
    verdicts = [leaves_out for leaves_out, pattern in patterns if pattern.fullmatch(path)]
    return not (verdicts and verdicts[-1])


def unpack(stage: Stage, root: Path) -> Path:
    """Lay out what a stage holds below `root`, readable by all and writable by its owner only; returns the working directory."""
    for path, file in stage.files.items():
        target = root / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(0o644)
    for place in (root, *(item for item in root.rglob("*") if item.is_dir())):
        place.chmod(0o755)
    return root / stage.folder.relative_to("/")
