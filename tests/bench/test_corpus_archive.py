from __future__ import annotations

import gzip
import lzma
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.corpus_archive import ARCHIVES, PrivatePath, files, folder, inflated, pack, unpack
from bench.corpus_cases import cases
from collector import patterns

#: Whom texts of the recorded libraries may name; "stra" is one that was cut at a limit.
HOSTS = {
    "127.0.0.1",
    "ahf.nuclearmuseum.org",
    "api.openai.com",
    "errors.pydantic.dev",
    "example.invalid",
    "google.github.io",
    "json-schema.org",
    "opentelemetry.io",
    "stra",
    "strandsagents.com",
}
_LOOPBACK = {"127.0.0.1", "http://127.0.0.1:33601/v1/", "http://127.0.0.1:42497/v1/"}
#: What tells of a machine, of its user or of its network, and what may stand there.
PLACES: dict[str, set[str]] = {
    "server.address": _LOOPBACK,
    "client.address": set(),
    "net.peer.name": set(),
    "user.name": set(),
    "service.name": {
        "capture-app",
        "checkout-assistant",
        "litellm-app",
        "unknown_service:python",
        "vllm-server",
    },
    "host.name": {"host-1"},
    "host.id": {"0" * 32},
    "host.ip": set(),
    "process.owner": set(),
    "process.command": set(),
    "process.command_args": set(),
    "process.command_line": set(),
    "process.executable.path": set(),
}


def bodies(name: str) -> Iterator[tuple[str, bytes]]:
    for path, body in files(folder(name)):
        yield path.name, inflated(body)


@pytest.mark.parametrize("name", ARCHIVES)
def test_packing_what_was_unpacked_gives_the_same_archive(name: str) -> None:
    # Two versions of liblzma may compress in two ways; what is inside is the same. Packing
    # refuses every folder of a machine, so there is none.
    assert lzma.decompress(pack(folder(name))) == lzma.decompress(ARCHIVES[name].read_bytes())


@pytest.mark.parametrize("name", ARCHIVES)
def test_no_payload_names_a_host_of_its_machine_or_of_its_network(name: str) -> None:
    address = re.compile(rb"\b[a-z+]+://(?:[^/@\s\"]*@)?([A-Za-z0-9_.-]+)")
    named = {found.decode() for _, body in bodies(name) for found in address.findall(body)}
    assert named - HOSTS == set()
    registry = re.compile(rb"pypi|npmjs|artifactory|index-url", re.IGNORECASE)  # without a scheme
    assert [file for file, body in bodies(name) if registry.search(body)] == []


@pytest.mark.parametrize("name", ARCHIVES)
def test_no_payload_tells_of_the_machine_or_of_its_user(name: str) -> None:
    told: dict[str, set[Any]] = {}
    for case in cases(folder(name)):
        for raw in case.raws():
            for held in (raw.resource, raw.attributes):
                for key in PLACES.keys() & held.keys():
                    told.setdefault(key, set()).add(held[key])
    assert {key: told[key] - PLACES[key] for key in told if told[key] - PLACES[key]} == {}
    assert "127.0.0.1" in told["server.address"]  # the places were looked at


@pytest.mark.parametrize("name", ARCHIVES)
def test_no_payload_holds_a_secret(name: str) -> None:
    kinds = [kind for kind in patterns.SECRETS if kind.name not in patterns.BY_NAME]
    found = [
        (file, kind.name)
        for kind in kinds
        for file, body in bodies(name)
        for hit in patterns.compiled(kind.pattern, groups=True).finditer(body)
        if kind.is_one is None or kind.is_one(hit)
    ]
    assert found == []


def test_a_secret_would_be_found() -> None:
    (kind,) = [kind for kind in patterns.SECRETS if kind.name == "token"]
    body = b"\x0a\x28" + b"ghp_" + b"a1B2" * 9
    assert patterns.compiled(kind.pattern, groups=True).search(body) is not None


def test_neither_times_nor_the_order_of_writing_matter(tmp_path: Path) -> None:
    for number, names in enumerate((("b", "a"), ("a", "b"))):
        for name in names:
            file = tmp_path / str(number) / name / "x.bin"
            file.parent.mkdir(parents=True)
            file.write_bytes(name.encode())
            os.utime(file, (number * 1000, number * 1000))

    assert pack(tmp_path / "0") == pack(tmp_path / "1")


def test_it_is_unpacked_once() -> None:
    assert folder() is folder("otlp_corpus")
    assert folder("captured") is folder("captured") is not folder()


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    made = {"a/x.meta.json": b"{}", "a/x.traces-1.bin": bytes(range(256)), "a/notes.txt": b"no"}
    (tmp_path / "in" / "a").mkdir(parents=True)
    for name, body in made.items():
        (tmp_path / "in" / name).write_bytes(body)
    (tmp_path / "one.tar.xz").write_bytes(pack(tmp_path / "in"))

    out = unpack(tmp_path / "out", tmp_path / "one.tar.xz")

    assert (out / "a/x.traces-1.bin").read_bytes() == bytes(range(256))
    assert not (out / "a/notes.txt").exists()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "place",
    ["/home/ada/shop.py", "C:\\Users\\ada\\shop.py", *(f"/{one}/x.py" for one in ("root", "work"))],
)
def test_a_payload_that_names_a_folder_of_its_machine_is_refused(
    tmp_path: Path, packed: bool, place: str
) -> None:
    body = f'File "{place}", line 3'.encode()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.bin").write_bytes(gzip.compress(body) if packed else body)

    with pytest.raises(PrivatePath, match=r"x\.bin: [/\\]"):
        pack(tmp_path)
