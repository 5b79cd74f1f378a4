"""Damaged requests against a running collector, for as long as you like.

Run: python -m bench.fuzz [--minutes 10] [--keep FOLDER]; what fails is written to the folder.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.insist import Answer, Line
from bench.mutate import Sent, damage, seeds
from bench.servers import Collector

HANG_S = 1.0
_WELL = range(200, 500)


@dataclass(slots=True)
class Fuzzed:
    """What became of the requests."""

    answers: Counter[int] = field(default_factory=Counter)
    bad: list[Sent] = field(default_factory=list)  # no answer, 5xx, or one that took too long
    slowest_s: float = 0.0
    alive: bool = True
    log: str = ""


def send(line: Line, one: Sent) -> Answer:
    """Send a request; a slow one once more, as the machine may have been busy."""
    packed = {"Content_Encoding": one.encoding} if one.encoding else {}
    answer = line.post(one.body, one.kind, **packed)
    return line.post(one.body, one.kind, **packed) if answer.waited_s > HANG_S else answer


def is_bad(answer: Answer) -> bool:
    """Return whether a collector must not answer so, whatever it was sent."""
    return answer.status not in _WELL or answer.waited_s > HANG_S


def fuzz(seconds: float, seed: int) -> Fuzzed:
    """Send damaged requests for some time to a collector of our own."""
    found, rng, valid = Fuzzed(), random.Random(seed), seeds()
    with tempfile.TemporaryDirectory() as folder:
        collector = Collector(f"sqlite:///{Path(folder) / 't.db'}")
        with Line(collector.http) as line:
            end = time.monotonic() + seconds
            while time.monotonic() < end and collector.process.poll() is None:
                one = damage(rng.choice(valid), rng)
                answer = send(line, one)
                found.answers[answer.status] += 1
                found.slowest_s = max(found.slowest_s, answer.waited_s)
                if is_bad(answer):
                    found.bad.append(one)
        found.alive = collector.process.poll() is None
        _, found.log = collector.stop()
    return found


def main() -> None:
    """Print the table; exit with 1 where something was answered as it must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args()
    found = fuzz(options.minutes * 60, options.seed)
    table = Table(title=f"damaged requests, {options.minutes:g} minutes, seed {options.seed}")
    for column in ("requests", "answers", "slowest", "bad", "collector"):
        table.add_column(column)
    answers = ", ".join(f"{status}: {n:,}" for status, n in sorted(found.answers.items()))
    well = found.alive and "Traceback" not in found.log and "unexpected" not in found.log
    table.add_row(
        f"{found.answers.total():,}",
        answers,
        f"{found.slowest_s:.2f} s",
        str(len(found.bad)),
        "well" if well else "see its log",
    )
    Console().print(table)
    for one in found.bad:
        options.keep.mkdir(exist_ok=True)
        name = hashlib.sha256(one.body).hexdigest()[:16]
        (options.keep / f"{name}.{one.encoding}.{one.kind.split('-')[-1]}").write_bytes(one.body)
    raise SystemExit(bool(found.bad) or not well)


if __name__ == "__main__":
    main()
