"""A web page sends spans with OpenTelemetry's SDK for browsers, in a real Chromium."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Page

from bench.servers import Collector
from tests.browser import chromium
from tests.clients import known, setup

pytestmark = [pytest.mark.slow, pytest.mark.browser]
HERE = Path(__file__).parent


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the origin of a site with one page, which loads the bundled SDK."""
    folder = tmp_path_factory.mktemp("site")
    bundle(folder / "page.js")
    (folder / "index.html").write_text('<!doctype html><script src="page.js"></script>')
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def bundle(into: Path) -> None:
    packages = setup.node_modules("sdk-2")
    esbuild = packages / ".bin" / "esbuild"
    options = ["--bundle", "--format=iife", f"--outfile={into}", "--log-level=warning"]
    env = {"NODE_PATH": str(packages), "PATH": str(setup.NODE.parent)}
    subprocess.run([str(esbuild), str(HERE / "browser.js"), *options], check=True, env=env)


@pytest.fixture(scope="module")
def page(site: str) -> Iterator[Page]:
    with chromium() as browser, browser.new_context() as context:
        page = context.new_page()
        page.goto(site)
        yield page


def send(page: Page, collector: Collector, headers: dict[str, str]) -> str:
    """Return the id of the trace that the page has sent. Raises playwright's Error."""
    told = {
        "url": f"http://{collector.http}/v1/traces",
        "headers": headers,
        "timeoutMillis": 2_000,
        "attributes": {**known.GEN_AI, **known.APP},
    }
    trace_id: str = page.evaluate("told => window.send(told)", told)
    return trace_id


@pytest.mark.parametrize("headers", [{}, {"x-app": "shop"}], ids=["plain", "own header"])
def test_o46_a_page_of_a_listed_origin_is_heard(
    headers: dict[str, str], page: Page, site: str, sqlite_url: str
) -> None:
    with Collector(sqlite_url, cors_origins=site) as collector:
        trace_id = send(page, collector, headers)
        assert asked_for_traces(page, collector)
    (chat,) = known.stored(sqlite_url, trace_id)
    assert (chat.service, chat.request_model, chat.input_tokens) == ("page", "gpt-4o", 120)
    assert {key: chat.attributes.get(key) for key in known.APP} == known.APP


def test_o46_a_page_of_another_origin_is_not_heard(page: Page, sqlite_url: str) -> None:
    with Collector(sqlite_url, cors_origins="https://other.example") as collector:
        with pytest.raises(Error):
            send(page, collector, {"x-app": "shop"})
        assert not asked_for_traces(page, collector)


def asked_for_traces(page: Page, collector: Collector) -> bool:
    """Return whether the collector has answered any request with traces."""
    metrics = page.request.get(f"http://{collector.http}/metrics").text()
    return (
        re.search(r'^tidegauge_requests_total\{.*signal="traces".*\} [1-9]', metrics, re.MULTILINE)
        is not None
    )
