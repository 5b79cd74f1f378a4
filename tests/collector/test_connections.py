from __future__ import annotations

import resource

import pytest

from collector.connections import Connections, Deadlines, Phase, most_connections


class Line:
    """A connection that remembers whether it was ended."""

    def __init__(self) -> None:
        self.ended = False

    def end(self) -> None:
        self.ended = True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def entered(connections: Connections, phase: Phase) -> Line:
    line = Line()
    assert connections.enter(line)
    connections.move(line, phase)
    return line


@pytest.mark.parametrize("phase", list(Phase))
def test_r12_each_phase_has_its_deadline(phase: Phase, clock: Clock) -> None:
    why: list[str] = []
    connections = Connections(9, clock, closed=why.append)
    early = entered(connections, phase)
    clock.now += 1
    late = entered(connections, phase)
    clock.now += Deadlines().of(phase) - 1
    connections.end_overdue()
    assert (early.ended, late.ended, len(connections)) == (True, False, 1)
    assert why == [f"slow_{phase}"]


def test_r12_a_new_phase_starts_anew(clock: Clock) -> None:
    connections = Connections(9, clock, deadlines=Deadlines(head_s=10))
    line = entered(connections, Phase.HEAD)
    clock.now += 9
    connections.move(line, Phase.HEAD)
    clock.now += 9
    connections.end_overdue()
    assert not line.ended
    assert connections.phase(line) is Phase.HEAD


def test_r12_who_has_to_go_is_the_slowest_that_does_no_work(clock: Clock) -> None:
    connections = Connections(4, clock)
    idle, body, head, answer = (
        entered(connections, phase) for phase in (Phase.IDLE, Phase.BODY, Phase.HEAD, Phase.ANSWER)
    )
    clock.now += 5
    for victim in (head, body, idle):
        newcomer = entered(connections, Phase.ANSWER)
        assert victim.ended
        assert not newcomer.ended
    assert not answer.ended
    assert not connections.enter(Line())
    assert len(connections) == 4


def test_r12_a_body_has_a_moment_before_it_has_to_go(clock: Clock) -> None:
    connections = Connections(1, clock)
    body = entered(connections, Phase.BODY)
    clock.now += 1
    assert not connections.enter(Line())
    clock.now += 3
    assert connections.enter(Line())
    assert body.ended


def test_what_has_left_is_forgotten(clock: Clock) -> None:
    connections = Connections(1, clock)
    line = entered(connections, Phase.IDLE)
    connections.leave(line)
    connections.leave(line)
    assert connections.phase(line) is None
    assert connections.enter(Line())
    assert not line.ended


def test_r12_there_are_never_more_connections_than_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def limit(files: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))

    limit(resource.RLIM_INFINITY)
    assert (most_connections(None), most_connections(50)) == (1_000, 50)
    limit(1_024)
    assert (most_connections(None), most_connections(900), most_connections(50)) == (400, 400, 50)
    limit(100)
    assert most_connections(None) == 16


def test_o07_an_idle_connection_outlives_the_interval_of_any_exporter() -> None:
    assert Deadlines().of(Phase.IDLE) >= 75
