"""What normalising costs: CPU time a span on the recorded payloads, beside protobuf's own parse.

    python -m bench.normalise [DIRECTORY] [--rounds N] [--profile N]

The two are measured in turns, so that whatever else the machine does meets both. CPU time of this
process, one core; the median of the rounds. ``--profile`` lists the N functions with the most time
of their own, and with the most in all, instead.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.corpus_archive import folder
from bench.corpus_cases import Case, cases
from collector.dialects import normalise, normalise_all
from collector.dialects.assemble import Cost, no_price
from collector.heap import collect_seldom
from collector.intake import TOGETHER
from collector.raw import RawSpan
from tidegauge.call import NotCounted
from tidegauge.pricing import cost_usd

ROUNDS = 31


@dataclass(frozen=True, slots=True)
class Line:
    """What one dialect costs."""

    name: str
    spans: int
    wrappers: int
    us: float  # a span, the median of the rounds


@dataclass(frozen=True, slots=True)
class Figures:
    """Microseconds a span of the whole corpus, and a line per dialect."""

    lines: list[Line]
    whole_us: float
    unpriced_us: float  # the same without the prices
    parse_us: float  # protobuf alone


def protobuf_of(case: Case) -> list[bytes]:
    """Return the requests of a case as protobuf, those of OTLP/JSON too.

    Their ids come out longer than they were: JSON has them in hex, protobuf's own JSON in base64.
    """
    made: list[bytes] = []
    for body, is_json in case.bodies("traces"):
        if is_json:
            request = Parse(body, ExportTraceServiceRequest(), ignore_unknown_fields=True)
            body = request.SerializeToString()
        made.append(body)
    return made


def by_dialect(raws: Sequence[RawSpan]) -> dict[str, list[RawSpan]]:
    """Return spans by the dialect that reads them."""
    found: dict[str, list[RawSpan]] = defaultdict(list)
    for raw in raws:
        found[normalise(raw, "bench").dialect].append(raw)
    return dict(sorted(found.items()))


def read_all(raws: Sequence[RawSpan], cost: Cost = cost_usd) -> None:
    """Normalise spans and price them; what comes out is thrown away."""
    for at in range(0, len(raws), TOGETHER):
        normalise_all(raws[at : at + TOGETHER], "bench", cost)


def parse_all(bodies: Sequence[bytes]) -> None:
    """Parse requests with protobuf alone."""
    for body in bodies:
        ExportTraceServiceRequest.FromString(body)


def cpu_us(work: Callable[[], None]) -> float:
    """Return the CPU time of some work, microseconds."""
    before = time.process_time_ns()
    work()
    return (time.process_time_ns() - before) / 1_000


def measure(raws: Sequence[RawSpan], bodies: Sequence[bytes], rounds: int) -> Figures:
    """Measure everything in turns, ``rounds`` times."""
    groups = by_dialect(raws)
    before = gc.get_threshold()
    gc.collect()
    collect_seldom()  # as a collector does, and without walking the corpus again and again
    spent: dict[str, list[float]] = defaultdict(list)
    parsed: list[float] = []
    unpriced: list[float] = []
    for _ in range(rounds):
        parsed.append(cpu_us(lambda: parse_all(bodies)))
        unpriced.append(cpu_us(lambda: read_all(raws, no_price)))
        for name, group in groups.items():
            spent[name].append(cpu_us(lambda group=group: read_all(group)))  # type: ignore[misc]
    gc.unfreeze()
    gc.set_threshold(*before)
    lines = [
        Line(name, len(group), _wrappers(group), median(spent[name]) / len(group))
        for name, group in groups.items()
    ]
    whole = median(map(sum, zip(*spent.values(), strict=True)))
    spans = len(raws)
    return Figures(lines, whole / spans, median(unpriced) / spans, median(parsed) / spans)


def _wrappers(raws: Sequence[RawSpan]) -> int:
    return sum(normalise(raw, "bench").not_counted is NotCounted.WRAPPER for raw in raws)


def report(figures: Figures) -> str:
    """Return the figures as text."""
    spans = sum(line.spans for line in figures.lines)
    wrappers = sum(line.wrappers for line in figures.lines)
    rows = [
        f"{line.name:<20} {line.spans:>6} {line.wrappers / line.spans:>9.0%} {line.us:>8.1f}"
        for line in (*figures.lines, Line("all", spans, wrappers, figures.whole_us))
    ]
    beside = {"all, without prices": figures.unpriced_us, "protobuf parse alone": figures.parse_us}
    head = f"{'dialect':<20} {'spans':>6} {'wrappers':>9} {'us/span':>8}"
    last = [f"{name:<20} {spans:>6} {'':>9} {us:>8.1f}" for name, us in beside.items()]
    return "\n".join([head, *rows, *last])


def profile(raws: Sequence[RawSpan], most: int) -> None:
    """Print the functions with the most time, of their own and in all."""
    read_all(raws)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(10):
        read_all(raws)
    profiler.disable()
    stats = pstats.Stats(profiler).strip_dirs()
    stats.sort_stats("tottime").print_stats(most)
    stats.sort_stats("cumulative").print_stats(most)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.normalise", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profile", type=int, metavar="N")
    options = parser.parse_args()
    read = cases(options.directory or folder())
    raws = [raw for case in read for raw in case.spans()]
    if options.profile:
        profile(raws, options.profile)
        return
    bodies = [body for case in read for body in protobuf_of(case)]
    print(report(measure(raws, bodies, options.rounds)))


if __name__ == "__main__":
    main()
