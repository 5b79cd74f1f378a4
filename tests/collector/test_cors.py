from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import httpx
import pytest

from tests.collector.edge import Edge
from tidegauge.settings import BadSettings, load
from tidegauge.store.engine import Engine

SHOP = "https://shop.example"
ASKED = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type,x-tidegauge-key",
}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client(sqlite_engine: Engine, now: datetime) -> Iterator[httpx.Client]:
    """Return a client of an edge that lists two origins."""
    origins = f"{SHOP}, http://localhost:3000"
    with (
        Edge(sqlite_engine, now, cors_origins=origins) as edge,
        httpx.Client(base_url=f"http://{edge.http}") as client,
    ):
        yield client


def told(answer: httpx.Response) -> list[str]:
    """Return the names of the CORS headers of an answer."""
    return [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics/"])
@pytest.mark.parametrize("origin", [SHOP, "http://localhost:3000"])
def test_o46_a_listed_origin_may_send_with_its_key(
    origin: str, path: str, client: httpx.Client
) -> None:
    answer = client.options(path, headers={"Origin": origin, **ASKED})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-headers"] == "content-type,x-tidegauge-key"
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "Origin" in answer.headers["vary"]


def test_o46_a_listed_origin_may_read_the_answer(client: httpx.Client) -> None:
    good = client.post("/v1/traces", content=b"{}", headers={"Origin": SHOP, **JSON})
    bad = client.post("/v1/traces", content=b"{", headers={"Origin": SHOP, **JSON})
    for answer, code in ((good, 200), (bad, 400)):
        assert answer.status_code == code
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert answer.headers["access-control-expose-headers"] == "Retry-After"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "https://shop.example.evil", "http://shop.example", "*", ""],
)
def test_o46_another_origin_gets_no_header(origin: str, client: httpx.Client) -> None:
    preflight = client.options("/v1/traces", headers={"Origin": origin, **ASKED})
    assert preflight.status_code == 405
    sent = client.post("/v1/traces", content=b"{}", headers={"Origin": origin, **JSON})
    assert told(preflight) == told(sent) == []


def test_o46_a_page_may_not_ask_for_another_method(client: httpx.Client) -> None:
    asked = {**ASKED, "Access-Control-Request-Method": "DELETE"}
    assert client.options("/v1/traces", headers={"Origin": SHOP, **asked}).status_code == 400


def test_o46_what_is_not_otlp_is_for_no_page(client: httpx.Client) -> None:
    for path in ("/metrics", "/readyz", "/healthz"):
        assert told(client.get(path, headers={"Origin": SHOP})) == []


def test_o46_without_the_setting_no_page_may_send(sqlite_engine: Engine, now: datetime) -> None:
    with Edge(sqlite_engine, now) as edge, httpx.Client() as client:
        url = f"http://{edge.http}/v1/traces"
        answer = client.options(url, headers={"Origin": SHOP, **ASKED})
        assert (answer.status_code, told(answer)) == (405, [])


@pytest.mark.parametrize(
    "origin", ["*", "https://*.example", "shop.example", "https://a.example/x"]
)
def test_o46_what_is_no_origin_stops_the_start(origin: str) -> None:
    with pytest.raises(BadSettings, match="TIDEGAUGE_CORS_ORIGINS"):
        load(cors_origins=origin)
