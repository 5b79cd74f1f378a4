"""Memory that was needed for a moment goes back to the machine, and is not looked through for nothing."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

# A request makes 50,000 objects that die with it. By default the collector of cycles would walk
# through them 70 times: 5 % of the CPU.
_SELDOM = (50_000, 20, 50)
_M_MMAP_THRESHOLD = -3
_LARGE = 256 * 1024  # bytes


def give_back() -> None:
    """Have large bodies that come and go leave nothing behind.

    glibc learns from the first large block that is freed to keep such blocks: four times twenty
    bodies of 15 MB left 500 MB behind. Elsewhere this does nothing.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def trim() -> None:
    """Give free memory back to the machine now."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def collect_seldom() -> None:
    """Look for cycles seldom; for a process that makes none.

    The collector itself makes some: the errors of refused requests, with their bodies.
    """
    gc.freeze()
    gc.set_threshold(*_SELDOM)
