"""python -m collector."""

from __future__ import annotations

import os
import sys

from pydantic import ValidationError

from collector.serve import serve
from tidegauge.settings import Settings, unknown_names


def main() -> None:
    """Read the settings and serve; a wrong setting is one line on standard error and code 2."""
    if unknown := unknown_names(os.environ):
        sys.exit(_refuse(f"unknown settings: {', '.join(unknown)}"))
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        sys.exit(_refuse(f"TIDEGAUGE_{name.upper()}: {first['msg']}"))
    serve(settings)


def _refuse(why: str) -> int:
    print(f"tidegauge collect: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
