from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.bodies import Body, build
from bench.runs import Supply
from bench.senders import Paced, Send, Senders


def test_every_request_has_ids_of_its_own() -> None:
    bodies = [build(50, seed) for seed in range(20)]
    keys = [key for body in bodies for key in body.keys]
    assert len({span_id for _, span_id in keys}) == len(keys) == 1_000
    traces = [{trace_id for trace_id, _ in body.keys} for body in bodies]
    assert all(not a & b for a, b in itertools.combinations(traces, 2))


def test_json_has_the_ids_of_the_protobuf() -> None:
    binary, text = build(8, 7), build(8, 7, json=True)
    assert binary.keys == text.keys
    assert all(span_id.hex().encode() in text.raw for _, span_id in text.keys)


def test_a_database_gets_no_body_twice_and_the_next_one_gets_them_again() -> None:
    supply = Supply()
    first, second = supply.take(20, 10), supply.take(20, 10)
    assert len({id(body) for body in [*first, *second]}) == 4
    supply.rewind()
    assert supply.take(20, 10) == first


def test_a_wait_counts_from_when_the_request_was_due() -> None:
    stands_still_s, every_s = 0.4, 0.02
    sent_at: list[float] = []
    once = threading.Lock()

    @contextmanager
    def connect() -> Iterator[Send]:
        def send(_: Body) -> str:
            sent_at.append(time.perf_counter())
            if once.acquire(blocking=False):
                time.sleep(stands_still_s)  # the server stands still at its first request
            return ""

        yield send

    bodies = [Body(b"", b"", ()) for _ in range(10)]
    waits = sorted(Paced(bodies, connect, 1, every_s).join().waits_s)
    # All were due while it stood still. Counted from when they were sent, nine would be instant.
    assert waits[0] > stands_still_s - 10 * every_s
    assert len(waits) == len(sent_at) == 10


def test_a_pace_that_is_stopped_says_what_it_did_not_send() -> None:
    @contextmanager
    def connect() -> Iterator[Send]:
        yield lambda _: ""

    paced = Paced([Body(b"", b"", ()) for _ in range(5)], connect, 2, every_s=60)
    paced.stop()
    sent = paced.join()
    assert len(sent.acknowledged) + len(sent.unanswered) == 5
    assert len(sent.unanswered) >= 4


def test_what_is_put_off_is_sent_again_and_waits_from_the_first_attempt() -> None:
    answers = iter(["503 later", "503 later", ""])

    @contextmanager
    def connect() -> Iterator[Send]:
        yield lambda _: next(answers)

    sent = Senders([Body(b"", b"", ())], connect, 1, again_s=0.1).join()
    assert (len(sent.acknowledged), sent.refused, sent.refusals["503 later"]) == (1, [], 2)
    assert sent.waits_s[0] >= 0.2
