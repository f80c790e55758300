"""The files of a chain, and who drops them: `python -m tests.chain.drops FOLDER COUNT SEED SECONDS`.

Most are written in one go, some slowly, with pauses longer than a watched folder waits, some under a name that it leaves alone and renamed then.
What a file holds follows from its number: whoever looks at it later knows whether it is whole.
"""

from __future__ import annotations

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STILL_S = 0.3
"""What the watched folder waits. A slow writer pauses longer."""
_SLOW_EVERY, _RENAMED_EVERY, _LARGE_EVERY = 97, 13, 1900
_LARGE_BYTES = 9 << 20
"""More than one request takes."""
_HARD = ("a b+c&d=e 5%;f,g", "straße ☃ 東京", "quote's \"x\" [1] {2}", "tilde~#?", "é" * 100)


def path_of(number: int) -> str:
    """Return where a file lies in the watched folder; no two have one path, many have one name."""
    hard = f" {_HARD[number // 50 % len(_HARD)]}" if number % 50 == 0 else ""
    return f"shop-{number % 7}/{number // 350}/day {number % 350:03d}{hard}.csv"


def content_of(number: int) -> bytes:
    """Return what a file holds: up to 3 KB, or 9 MiB and a bit; number 5 nothing at all."""
    if number == 5:
        return b""
    size = _LARGE_BYTES + number if number % _LARGE_EVERY == 11 else 20 + number * 7919 % 3000
    line = f"{number},".encode() + bytes(random.Random(number).choices(b"abcdefghijklmnopqrstuvwxyz0123456789", k=60)) + b"\n"
    return (line * (size // len(line) + 1))[: size - 1] + b"\n"


def is_slow(number: int) -> bool:
    return number % _SLOW_EVERY == 3


def drop(folder: Path, number: int, seed: int) -> None:
    """Write one file, the way that its number says."""
    path, content = folder / path_of(number), content_of(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_slow(number):
        _slowly(path, content, random.Random(f"{seed} {number}"))
    elif number % _RENAMED_EVERY == 1:
        fresh = path.with_name(f".{number}.part")
        fresh.write_bytes(content)
        fresh.rename(path)
    else:
        path.write_bytes(content)


def _slowly(path: Path, content: bytes, chance: random.Random) -> None:
    cuts = sorted(chance.randrange(len(content)) for _ in range(3))
    with path.open("wb", buffering=0) as file:
        for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
            file.write(content[start:end])
            time.sleep(chance.uniform(1.5, 4) * STILL_S)


def main(folder: Path, count: int, seed: int, seconds: float) -> None:
    """Drop everything within about so many seconds, in bursts."""
    chance = random.Random(f"drops {seed}")
    numbers = list(range(count))
    chance.shuffle(numbers)
    begun = time.monotonic()
    with ThreadPoolExecutor(16) as slow:
        at = 0
        while at < count:
            burst = numbers[at : at + chance.randint(1, 400)]
            for number in burst:
                if is_slow(number):
                    slow.submit(drop, folder, number, seed)
                else:
                    drop(folder, number, seed)
            at += len(burst)
            time.sleep(max(0.0, begun + seconds * at / count - time.monotonic()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
