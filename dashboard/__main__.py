"""python -m dashboard."""

from __future__ import annotations

import sys

from dashboard.serve import serve
from tidegauge.settings import BadSettings, load


def main() -> None:
    """Read the settings and serve; a wrong setting is one line on standard error and code 2."""
    try:
        settings = load()
    except BadSettings as error:
        print(f"tidegauge dashboard: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    serve(settings)


if __name__ == "__main__":
    main()
