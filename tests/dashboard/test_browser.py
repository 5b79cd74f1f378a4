"""What only a browser can tell: what is drawn, what keys do, what is fetched from where."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboard.look import DARK, LIGHT
from tests.dashboard import world
from tests.dashboard.server import Served, serving
from tests.world import a_call
from tidegauge import clock
from tidegauge.store import alerts, reviews, spans
from tidegauge.store.engine import open_engine, read, write
from tidegauge.store.reviews import FlaggedItem, Verdict

pytestmark = pytest.mark.browser

_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
_SLOW_MS = 30_000  # the first page of a cold browser
_PAGES = {
    "": "Overview",
    "trends": "Trends",
    "alerts": "Alerts",
    "review": "Review queue",
    "requests": "Requests",
    "system": "System",
}
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[int, list[str]]]:
    """Return a port that hostile content points at, and what was fetched from it."""
    fetched: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1], fetched
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def url(world_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of the browser tests' own copy of the world."""
    path = tmp_path_factory.mktemp("browser") / "world.db"
    path.write_bytes(world_file.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def hostile(url: str, listener: tuple[int, list[str]]) -> str:
    """Put a call that is hostile in every field into the world; return its service's name."""
    now = clock.now()
    bad = {
        name: world.HOSTILE.format(port=listener[0], name=name)
        for name in ("service", "use_case", "model", "input", "output", "error", "version")
    }
    call = a_call(
        "hostile",
        started_at=now - clock.MINUTE,
        service=bad["service"],
        use_case=bad["use_case"],
        request_model=bad["model"],
        prompt_version=bad["version"],
        error_type=bad["error"],
        input=[{"role": "user", "content": bad["input"] + "<script>alert(1)</script>"}],
        output=bad["output"],
        attributes={bad["model"]: bad["output"]},
    )
    flagged = FlaggedItem(
        project="default",
        trace_id=call.trace_id,
        span_id=call.span_id,
        reason="error",
        evidence=f"Failed with {bad['error']}.",
        probability=None,
        priority=100.0,
        service=call.service,
        call_started_at=call.started_at,
    )
    engine = open_engine(url)
    with write(engine) as db:
        spans.insert(db, [call], received_at=now)
        if held := reviews.claim(db, "ana", now):  # an earlier test may have left one open
            reviews.skip(db, held.item_id, "ana", now)
        reviews.flag(db, [flagged], now)
    world.roll(engine, now, max_series=100, limit=1000)
    engine.dispose()
    return call.span_id


@pytest.fixture(scope="module")
def served(url: str) -> Iterator[Served]:
    """Return a running dashboard over that world."""
    with serving(url) as one:
        yield one


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return Debian's Chromium where there is one, else Playwright's own."""
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGS)
        yield one
        one.close()


@pytest.fixture
def visit(browser: Browser, served: Served) -> Iterator[Open]:
    """Return a function that opens a page; afterwards nothing may have gone to another host."""
    foreign: list[str] = []
    contexts = []

    def open_page(path: str = "", scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": 1440, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(_SLOW_MS)
        ours = (served.url, served.url.replace("http", "ws", 1), "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(ours) else foreign.append(r.url))
        page.on("websocket", lambda w: None if w.url.startswith(ours) else foreign.append(w.url))
        page.goto(f"{served.url}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert foreign == []


def rests(page: Page) -> None:
    """Wait until the script has ended and nothing is drawn any more."""
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0)
    expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_drawn_without_an_error(visit: Open, scheme: str) -> None:
    page = visit(scheme=scheme)
    for title in _PAGES.values():
        link = "Review" if title == "Review queue" else title
        page.get_by_test_id("stSidebarNav").get_by_role("link", name=link, exact=True).click()
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
        rests(page)


@pytest.mark.parametrize(("scheme", "theme"), [("light", LIGHT), ("dark", DARK)])
def test_charts_are_drawn_in_our_palette_under_our_policy(
    visit: Open, scheme: str, theme: object
) -> None:
    page = visit(scheme=scheme)
    page.wait_for_selector(".js-plotly-plot .main-svg")
    drawn = page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.colorway")
    assert [colour.upper() for colour in drawn] == list(getattr(theme, "palette"))  # noqa: B009
    line = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot .scatterlayer path.js-line')]"
        ".map(p => p.getBoundingClientRect().width)"
    )
    assert max(line) > 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_system_page_says_whether_claims_and_rows_agree(visit: Open, scheme: str) -> None:
    page = visit("system", scheme=scheme)
    expect(
        page.get_by_role("heading", name="Claimed against stored, last 24 hours")
    ).to_be_visible()
    expect(page.get_by_text("Claimed as stored: 1,260")).to_be_visible()
    expect(page.get_by_text("1 source sent what is not stored")).to_be_visible()
    heading = page.get_by_role("heading", name="What the instrumentations leave out, last 24 hours")
    expect(heading).to_be_visible()
    expect(page.get_by_text("groups of service, library and model")).to_be_visible()
    rests(page)
    expect(page.locator("[data-testid=stDataFrame] canvas").first).to_be_visible()


def test_an_alert_s_link_opens_it(visit: Open, url: str) -> None:
    engine = open_engine(url)
    with read(engine) as db:
        one = alerts.list_alerts(db)[0]
    engine.dispose()
    page = visit(f"alerts?alert={one.alert_id}")
    expect(page.get_by_role("heading", name=one.title)).to_be_visible()
    expect(page.get_by_text("version 91 to 92")).to_be_visible()


def test_a_link_with_filters_shows_them_and_they_stay_on_the_next_page(visit: Open) -> None:
    page = visit("trends?service=search&window=6h")
    # a click while the page is still being drawn keeps the filters, but not in the address
    expect(page.get_by_role("link", name="Show the requests of this time")).to_be_visible()
    rests(page)
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Requests").click()
    expect(page.get_by_role("heading", name="Requests")).to_be_visible()
    expect(page).to_have_url(re.compile(r"service=search&window=6h"))
    expect(page.get_by_role("combobox", name="Service")).to_have_value("search")


def test_one_key_gives_the_verdict_keeps_the_note_and_u_takes_it_back(
    visit: Open, url: str
) -> None:
    page = visit("review")
    expect(page.get_by_text("Is this a real problem?")).to_be_visible()
    first = page.get_by_text("Cut off after").inner_text()
    page.get_by_label("Note (optional)").fill("cut in word 123")  # digits in a note are digits
    page.keyboard.press("Tab")
    page.keyboard.press("1")
    expect(page.get_by_text("1 done today by you")).to_be_visible()
    expect(page.get_by_label("Note (optional)")).to_have_value("")
    assert labels(url) == {("ana", Verdict.REAL_PROBLEM.value, "cut in word 123", None)}
    page.locator("body").press("u")
    expect(page.get_by_text("0 done today by you")).to_be_visible()
    expect(page.get_by_text(first)).to_be_visible()
    expect(page.get_by_label("Note (optional)")).to_have_value("cut in word 123")


def test_hostile_names_and_texts_fetch_nothing(
    visit: Open, hostile: str, listener: tuple[int, list[str]], served: Served
) -> None:
    page = visit(f"requests?span={hostile}&window=1h")
    expect(page.get_by_text("<script>alert(1)</script>")).to_be_visible()  # shown as text
    rests(page)
    for path, heading in (("review", "The call failed"), ("", "Overview"), ("trends", "Trends")):
        page.goto(f"{served.url}/{path}")
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        rests(page)
    assert listener[1] == []


def labels(url: str) -> set[tuple[str, str, str, int | None]]:
    """Return every label that is stored."""
    from sqlalchemy import select

    from tidegauge.store.schema import review_label as table

    engine = open_engine(url)
    columns = (table.c.reviewer, table.c.verdict, table.c.note, table.c.undone_s)
    with read(engine) as db:
        found = {(r.reviewer, r.verdict, r.note, r.undone_s) for r in db.execute(select(*columns))}
    engine.dispose()
    return found
