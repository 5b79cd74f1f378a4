"""python -m analysis."""

from __future__ import annotations

import sys

from analysis.alerts.addresses import BadNetwork
from analysis.alerts.signature import BadSecret
from analysis.schedule import serve
from tidegauge.policy import BadPolicy
from tidegauge.settings import BadSettings, load
from tidegauge.store.engine import StoreBusy, StoreUnusable

_CANNOT_START = (BadSettings, BadNetwork, BadPolicy, BadSecret, StoreBusy, StoreUnusable)


def main() -> int:
    """Run the analyst until it is stopped; return 0, or 2 where it cannot start."""
    try:
        serve(load())
    except _CANNOT_START as error:
        return _refuse(str(error))
    return 0


def _refuse(reason: str) -> int:
    print(f"tidegauge analyse: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
