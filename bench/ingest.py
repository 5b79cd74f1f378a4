"""Wire to committed rows: spans a second, the wait for the acknowledgement, CPU, memory, disk.

Run: python -m bench.ingest [--phoenix PYTHON] [--mlflow PYTHON] [--json FILE], or a part of it with
the other options. docs/ingest.md says how it is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as installed
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import parts, report, runs
from bench.bodies import build
from bench.cases import OURS, SIZES, STORES, WIRES, Case, Killed, Sample, cases
from bench.peers import MLflow, Peer, Phoenix, version
from bench.servers import Postgres

PEERS: tuple[type[Peer], ...] = (MLflow, Phoenix)
PACKINGS = {"gzip": True, "plain": False}


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do in a round, and its name on the screen."""

    name: str
    do: Callable[[int], None]  # of which round


def steps(
    chosen: Sequence[Case],
    pythons: dict[type[Peer], Path],
    options: argparse.Namespace,
    supply: runs.Supply,
    databases: runs.Databases,
    found: report.Findings,
) -> list[Step]:
    """Return what one round does: each case, each peer, and a kill of each server."""
    plan = runs.Plan(
        spans=options.spans,
        peer_spans=options.peer_spans,
        most_s=options.most_s,
        open_s=options.open_s,
        senders=options.senders,
        peer_senders=options.peer_senders,
    )

    def keep(case: Case, measure: Callable[[], Sample]) -> Step:
        def do(number: int) -> None:
            found.samples.setdefault(case, {})[number] = measure()

        return Step(f"{case.server}, {case.store}: {case.request}", do)

    def kill(name: str, store: str, measure: Callable[[], Killed]) -> Step:
        def do(_: int) -> None:
            found.killed.setdefault((name, store), []).append(measure())

        return Step(f"{name}, {store}: kill -9", do)

    todo = [keep(case, partial(runs.ours, case, databases, supply, plan)) for case in chosen]
    for kind, python in pythons.items():
        for size in options.sizes:
            case = Case(kind.name, "SQLite", "http", True, size)
            todo.append(keep(case, partial(runs.peer, kind, python, size, supply, plan)))
    if options.kill:
        for store in options.stores:
            todo.append(kill(OURS, store, partial(runs.kill_ours, store, databases, supply, plan)))
        for kind, python in pythons.items():
            measure = partial(runs.kill_peer, kind, python, supply, plan)
            todo.append(kill(kind.name, "SQLite", measure))
    return todo


def body_size() -> dict[str, float]:
    """Return what one span is on the wire, bytes, and how many attributes it has."""
    spans = SIZES[0]
    proto, as_json = build(spans, 0), build(spans, 0, json=True)
    sent = ExportTraceServiceRequest.FromString(proto.raw).resource_spans[0].scope_spans[0].spans
    return {
        "attributes": sum(len(span.attributes) for span in sent) / spans,
        "protobuf": len(proto.raw) / spans,
        "protobuf_gzip": len(proto.packed) / spans,
        "json": len(as_json.raw) / spans,
        "json_gzip": len(as_json.packed) / spans,
    }


def measure(options: argparse.Namespace, console: Console) -> report.Findings:
    """Run every round, interleaved: what disturbs the machine for a while disturbs all alike."""
    given = {MLflow: options.mlflow, Phoenix: options.phoenix}
    pythons = {kind: given[kind] for kind in PEERS if given[kind]}
    versions = {OURS: installed("tidegauge")} | {
        kind.name: version(python, kind.package) for kind, python in pythons.items()
    }
    found = report.Findings(versions, report.machine(), body_size())
    chosen = [] if options.no_ours else list(_cases(options))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tgbench")))
        postgres = stack.enter_context(Postgres()) if "PostgreSQL" in options.stores else None
        databases = runs.Databases(folder, postgres)
        todo = steps(chosen, pythons, options, runs.Supply(), databases, found)
        columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
        progress = stack.enter_context(Progress(*columns, console=console))
        bar = progress.add_task("", total=len(todo) * options.rounds)
        for number in range(options.rounds):
            for step in todo:
                progress.update(bar, description=f"round {number + 1}: {step.name}")
                if not console.is_terminal:  # then there is no bar
                    console.print(f"round {number + 1}: {step.name}", highlight=False)
                try:
                    step.do(number)
                except RuntimeError as error:  # the other servers' figures are worth having
                    found.failed.append(f"round {number + 1}: {step.name}: {error}")
                    console.print(f"[red]not measured: {found.failed[-1]}", highlight=False)
                progress.advance(bar)
        if options.parts:
            progress.update(bar, description="the parts alone")
            found.parts = parts.measure(folder, postgres, rounds=max(options.rounds, 3))
    return found


def _cases(options: argparse.Namespace) -> Sequence[Case]:
    return list(
        cases(
            stores=options.stores,
            sizes=options.sizes,
            wires=options.wires,
            packings=[PACKINGS[name] for name in options.packings],
            full=options.full,
        )
    )


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--phoenix", type=Path, metavar="PYTHON", help="of an environment with arize-phoenix")
    add("--mlflow", type=Path, metavar="PYTHON", help="of an environment with mlflow")
    add("--rounds", type=int, default=3)
    add("--spans", type=int, default=20_000, help="a run of Tidegauge")
    add("--peer-spans", type=int, default=2_000, help="a run of a peer")
    add("--most-s", type=float, default=15.0, help="nothing new is sent after that")
    add("--open-s", type=float, default=8.0, help="at half of the rate")
    add("--senders", type=int, default=8, help="that keep Tidegauge busy")
    add("--peer-senders", type=int, default=4, help="that keep a peer busy")
    add("--stores", nargs="+", choices=STORES, default=STORES)
    add("--sizes", nargs="+", type=int, default=SIZES, help="spans in a request")
    add("--wires", nargs="+", choices=WIRES, default=WIRES)
    add("--packings", nargs="+", choices=tuple(PACKINGS), default=tuple(PACKINGS))
    add("--full", action="store_true", help="every combination of the four above")
    add("--no-ours", action="store_true", help="only the peers, or only the parts")
    add("--kill", action=argparse.BooleanOptionalAction, default=True)
    add("--parts", action=argparse.BooleanOptionalAction, default=True)
    add("--json", type=Path, metavar="FILE", help="also write every round's figures there")
    add("--page", type=Path, metavar="FILE", help="also put the tables between that page's marks")
    return parser.parse_args(words)


def main() -> int:
    """Print the tables; return 1 where something could not be measured."""
    options = parse()
    found = measure(options, Console(stderr=True))
    text = report.markdown(found)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(found.as_json(), indent=1) + "\n", encoding="utf-8")
    if options.page:
        page = options.page.read_text(encoding="utf-8")
        options.page.write_text(report.put_into(page, text), encoding="utf-8")
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
