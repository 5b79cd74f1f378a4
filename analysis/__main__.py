"""python -m analysis."""

from __future__ import annotations

import os
import sys

from pydantic import ValidationError

from analysis.alerts.addresses import BadNetwork
from analysis.alerts.signature import BadSecret
from analysis.schedule import serve
from tidegauge.policy import BadPolicy
from tidegauge.settings import Settings, unknown_names
from tidegauge.store.engine import StoreBusy, StoreUnusable

_CANNOT_START = (BadNetwork, BadPolicy, BadSecret, StoreBusy, StoreUnusable)


def main() -> int:
    """Run the analyst until it is stopped; return 0, or 2 where it cannot start."""
    if unknown := unknown_names(os.environ):
        return _refuse(f"unknown setting {unknown[0]}; docs/settings.md lists them all")
    try:
        serve(Settings())
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        return _refuse(f"TIDEGAUGE_{name}: {first['msg']}")
    except _CANNOT_START as error:
        return _refuse(str(error))
    return 0


def _refuse(reason: str) -> int:
    print(f"tidegauge analyse: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
