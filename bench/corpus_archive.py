"""Recorded payloads as two small files: packed the same way each time, unpacked once.

    python -m bench.corpus_archive DIRECTORY [--into captured]

writes ``tests/data/otlp_corpus.tar.xz``, or the other archive, from a folder with one folder per
instrumentation.
"""

from __future__ import annotations

import argparse
import atexit
import gzip
import io
import lzma
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_DATA = Path(__file__).parents[1] / "tests" / "data"
#: The two collections of payloads by name; tests/data/README.md says what each is.
ARCHIVES = {name: _DATA / f"{name}.tar.xz" for name in ("otlp_corpus", "captured")}
CORPUS = "otlp_corpus"
_KEPT = ("*/*.meta.json", "*/*.bin", "*/*.json")
#: Folders of the machine on which a payload was recorded; they stand in stack traces.
_PRIVATE = re.compile(rb"(?:/(?:work|root|tmp|home|Users)|\\Users)[/\\]")


class PrivatePath(ValueError):
    """A payload names a folder of the machine on which it was recorded."""


def pack(folder: Path) -> bytes:
    """Return the archive; equal for equal files. Raises PrivatePath.

    A payload is not rewritten: of protobuf every length around a text would change with it.
    """
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, body in files(folder):
            _refuse_private(path, inflated(body))
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = len(body)  # all else is zero: no owner, no time
            tar.addfile(entry, io.BytesIO(body))
    return lzma.compress(plain.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Return each file that is kept, with its bytes, in the order of names."""
    for path in sorted({path for pattern in _KEPT for path in folder.glob(pattern)}):
        yield path, path.read_bytes()


def inflated(body: bytes) -> bytes:
    """Return a body as it was before it was compressed."""
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def _refuse_private(path: Path, body: bytes) -> None:
    if found := _PRIVATE.search(body):
        raise PrivatePath(f"{path.name}: {found.group().decode()}")


def unpack(into: Path, archive: Path) -> Path:
    """Write the files of an archive below a folder, and return the folder."""
    with tarfile.open(archive, mode="r:xz") as tar:
        tar.extractall(into, filter="data")
    return into


def folder(name: str = CORPUS) -> Path:
    """Return a folder with what an archive holds: unpacked once, removed with the process."""
    return _unpacked(name)


@cache
def _unpacked(name: str) -> Path:
    made = Path(tempfile.mkdtemp(prefix="tidegauge-corpus-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return unpack(made, ARCHIVES[name])


def main() -> None:
    """Write an archive."""
    parser = argparse.ArgumentParser(prog="python -m bench.corpus_archive", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("directory", type=Path)
    parser.add_argument("--into", choices=ARCHIVES, default=CORPUS)
    options = parser.parse_args()
    packed = pack(options.directory)
    ARCHIVES[options.into].write_bytes(packed)
    print(f"{ARCHIVES[options.into].name}: {len(packed):,} bytes")


if __name__ == "__main__":
    main()
