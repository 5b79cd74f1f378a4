"""The whole demo as a person starts it, watches it, and interrupts it."""

from __future__ import annotations

import signal
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.ports import free_ports
from tests.processes import Running, gone, until
from tidegauge.demo.run import DEMO_POLICY, DEMO_POLICY_TOML, exit_code
from tidegauge.demo.traffic import APPS
from tidegauge.demo.watch import Kept, Watch
from tidegauge.policy import policy_of

STORED = Kept(calls=40, to_review=2, verdicts={})


def test_the_policy_that_the_demo_announces_is_the_one_it_runs_with() -> None:
    assert policy_of(tomllib.loads(DEMO_POLICY_TOML)["policy"]) == DEMO_POLICY


@pytest.mark.parametrize(
    ("history", "refused", "holds", "code"),
    [
        (True, 0, STORED, 1),  # three faults were in, and none was noticed
        (False, 0, STORED, 0),  # nothing could be noticed
        (False, 1, STORED, 1),
        (False, 0, Kept(calls=0, to_review=0, verdicts={}), 1),
        (False, 0, None, 1),
    ],
)
def test_the_exit_code_says_whether_the_demo_showed_what_it_promised(
    history: bool, refused: int, holds: Kept | None, code: int
) -> None:
    assert exit_code(Watch(0.0), history=history, refused=refused, holds=holds) == code


class Demo(Running):
    """``tidegauge demo`` on free ports, with a folder of its own for temporary files."""

    def __init__(self, folder: Path, *words: str) -> None:
        http, grpc, dashboard = free_ports(3)
        ports = ["--otlp-http-port", str(http), "--otlp-grpc-port", str(grpc)]
        ports += ["--dashboard-port", str(dashboard)]
        self.folder = folder
        super().__init__(["demo", *ports, *words], {"TMPDIR": str(folder), "COLUMNS": "100"})

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def apps(self) -> int:
        """Return how many of the children are simulated apps."""
        return sum("spawn_main" in " ".join(child.cmdline()) for child in self.children())

    def left_behind(self) -> list[str]:
        return [path.name for path in self.folder.iterdir()]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Return what starts the demo; it is ended afterwards."""
    started: list[Demo] = []

    def start(*words: str) -> Demo:
        started.append(Demo(tmp_path, *words))
        return started[-1]

    yield start
    for one in started:
        one.end()


def number(text: str, name: str) -> int:
    """Return the number that stands beside ``name`` in the summary."""
    return int(text.split(name)[1].split()[0].replace(",", ""))


@pytest.mark.slow
def test_the_demo_notices_all_three_faults_and_fills_the_review_queue(
    demo: Callable[..., Demo],
) -> None:
    running = demo("--minutes", "2")
    seen = running.read_until("Live since")
    children = running.children()

    code, rest = running.wait(within_s=200)

    assert code == 0, seen + rest
    assert "NOT NOTICED" not in rest
    _, table = rest.split("told after")
    for app in APPS:
        assert f"{app.service} {app.fault_in_short}" in " ".join(table.split())
    assert number(rest, "Messages to on-call") >= 3
    assert "every signature verified" in rest
    assert number(rest, "Waiting for a reviewer") > 0
    assert number(rest, "Calls stored") > 15_000
    assert until(lambda: gone(children), within_s=10)  # the last of them ends just after it
    assert running.left_behind() == []


@pytest.mark.slow
def test_without_a_history_the_demo_says_that_nothing_can_be_noticed(
    demo: Callable[..., Demo],
) -> None:
    running = demo("--minutes", "0.5", "--no-history")

    code, said = running.wait()

    assert code == 0, said
    assert "Nothing is learned then" in said
    assert "two weeks" not in said
    assert "NOT NOTICED" not in said
    assert number(said, "Calls stored") > 0
    assert "0 moved, 0 usual" in said
    assert "Messages to on-call     none" in said
    assert running.left_behind() == []


def at_the_start(running: Demo) -> None:
    running.read_until("Tidegauge demo")


def in_the_history(running: Demo) -> None:
    running.read_until("windows in a row")
    assert until(lambda: running.apps() > 0)


def in_live_traffic(running: Demo) -> None:
    running.read_until("Live since")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "words"),
    [(at_the_start, ()), (in_the_history, ()), (in_live_traffic, ("--no-history",))],
)
def test_ctrl_c_ends_the_demo_quietly_and_leaves_nothing(
    demo: Callable[..., Demo], phase: Callable[[Demo], None], words: tuple[str, ...]
) -> None:
    running = demo(*words)
    phase(running)
    children = running.children()

    code, said = running.press_ctrl_c()

    assert code == 130, said
    assert "Stopped before the end." in said
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said
    assert until(lambda: gone(children))
    assert running.left_behind() == []


@pytest.mark.slow
def test_data_are_kept_and_the_demo_runs_on_where_that_is_wished(
    demo: Callable[..., Demo],
) -> None:
    running = demo("--minutes", "0.5", "--no-history", "--keep")
    running.read_until("Ctrl-C ends it.")

    code, said = running.press_ctrl_c()

    (kept,) = running.left_behind()
    assert code == 0, said
    assert f"The data are kept in {running.folder / kept}" in said
    assert (running.folder / kept / "demo.db").exists()


@pytest.mark.slow
def test_nothing_of_the_demo_runs_on_when_it_is_killed(demo: Callable[..., Demo]) -> None:
    running = demo("--no-history")
    running.read_until("Live since")
    children = running.children()

    running.stop(signal.SIGKILL)

    assert until(lambda: gone(children))
