"""Post every recorded payload to a running collector as it was recorded: how many are answered OK?

python -m bench.replay_corpus DIRECTORY
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import httpx
from rich.console import Console
from rich.table import Table

from bench.servers import Collector

_METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_PATHS = {signal: f"/v1/{signal}" for signal in _METHODS}


def over_http(client: httpx.Client, payload: dict[str, Any], body: bytes) -> str:
    """Return the status of one payload posted over HTTP, with its recorded headers."""
    headers = {"content-type": payload["content_type"]}
    if payload["content_encoding"] not in (None, "", "identity"):
        headers["content-encoding"] = payload["content_encoding"]
    return str(client.post(_PATHS[payload["signal"]], content=body, headers=headers).status_code)


def over_grpc(channel: grpc.Channel, payload: dict[str, Any], body: bytes) -> str:
    """Return the status of one payload sent over gRPC."""
    send = channel.unary_unary(_METHODS[payload["signal"]])
    try:
        send(body, timeout=10)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def replay(folder: Path, http: str, grpc_address: str) -> dict[str, Counter[str]]:
    """Return, per transport and signal, how often each answer was given."""
    answers: dict[str, Counter[str]] = {}
    with (
        httpx.Client(base_url=f"http://{http}", timeout=10) as client,
        grpc.insecure_channel(grpc_address) as channel,
    ):
        for meta in sorted(folder.glob("*/*.meta.json")):
            for payload in json.loads(meta.read_text(encoding="utf-8"))["payloads"]:
                body = (meta.parent / payload["file"]).read_bytes()
                by_grpc = payload["transport"] == "grpc"
                answer = (
                    over_grpc(channel, payload, body)
                    if by_grpc
                    else over_http(client, payload, body)
                )
                kind = f"{payload['transport']} {payload['signal']}"
                answers.setdefault(kind, Counter())[answer] += 1
    return answers


def main(folder: Path) -> None:
    """Print the table of answers."""
    with (
        tempfile.TemporaryDirectory() as data,
        Collector(f"sqlite:///{data}/corpus.db") as collector,
    ):
        answers = replay(folder, collector.http, collector.grpc)
        code, _ = collector.stop()
    table = Table("transport and signal", "answers")
    for kind, counts in sorted(answers.items()):
        table.add_row(kind, ", ".join(f"{answer}: {n}" for answer, n in sorted(counts.items())))
    Console().print(table, f"collector's exit code: {code}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
