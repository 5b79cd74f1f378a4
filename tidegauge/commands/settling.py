"""What a verb does before it reads calls: put together the traces that wait for it."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress

from tidegauge.policy import read_policy
from tidegauge.pricing import Prices
from tidegauge.settings import Settings
from tidegauge.store import traces
from tidegauge.store.engine import Engine, read


def settle(engine: Engine, settings: Settings) -> None:
    """Put together the traces that wait for it, so that each call is read once.

    The analyst does so every few seconds; without one that runs, many may have gathered.
    """
    with read(engine) as db:
        waiting = traces.count_unsettled(db)
    if not waiting:
        return
    cost = Prices(read_policy(settings.policy_file).prices).cost_usd
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("putting traces together", total=waiting)
        traces.settle_due(
            engine,
            cost=cost,
            done=lambda number: progress.advance(task, number),
            failed=lambda error: console.print(
                f"a trace could not be put together ({type(error).__name__}): its calls may be "
                "counted twice"
            ),
        )
