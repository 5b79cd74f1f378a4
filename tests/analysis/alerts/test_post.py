from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from analysis.alerts.addresses import networks
from analysis.alerts.post import (
    KEEP_CHARS,
    READ_BYTES,
    Blocked,
    Outcome,
    Result,
    post,
    resolve_within,
    retry_after,
    vet,
)
from tests.alert_world import a_receiver

LOOPBACK = networks(("127.0.0.0/8",))
PEM = Path(__file__).parents[2] / "data" / "tls" / "receiver.test.pem"


class Names:
    """A resolver that knows one answer and counts the questions."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://user:p@example.com/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[::127.0.0.1]/",
        "https://169.254.169.254/",
        "https://100.64.0.1/",
        "https://224.0.0.1/",
        "https://192.0.0.8/",
        "https://8.8.8.8:22/",
        "file:///etc/passwd",
        "https://localhost/",
        "https://127.1/",
        "https://0.0.0.0/",
        "https://",
        "not a url",
        "",
        "https://example.com:99999/",
    ],
)
def test_a_url_that_leads_inside_is_refused_before_anything_is_sent(
    url: str, now: datetime
) -> None:
    def resolve(host: str, port: int) -> Sequence[str]:
        # Real resolution of numbers and localhost; no question leaves this machine.
        return ["93.184.215.14"] if host == "example.com" else resolve_within(5)(host, port)

    outcome = post(url, b"{}", {}, now=now, resolve=resolve)

    assert outcome.result is Result.DEAD
    assert outcome.error.startswith("blocked address")
    assert "127.0.0.1" not in outcome.error


def test_one_bad_address_refuses_the_whole_name() -> None:
    with pytest.raises(Blocked):
        vet("https://receiver.test/", (), Names("93.184.215.14", "10.0.0.1"))


def test_a_public_name_is_connected_to_by_its_vetted_address() -> None:
    target = vet("https://receiver.test/a?b=c", (), Names("93.184.215.14"))

    assert str(target.url) == "https://93.184.215.14/a?b=c"
    assert (target.host, target.name, target.private) == ("receiver.test", "receiver.test", False)


def test_an_ipv6_address_is_put_in_brackets() -> None:
    target = vet("https://receiver.test/a", (), Names("2606:4700::6810:84e5"))

    assert str(target.url) == "https://[2606:4700::6810:84e5]/a"


def test_an_allowed_network_may_be_reached_over_http_on_any_port(now: datetime) -> None:
    with a_receiver() as receiver:
        outcome = post(receiver.url, b'{"a":1}', {"webhook-id": "m"}, now=now, allow=LOOPBACK)

    assert (outcome.result, outcome.status) == (Result.SENT, 200)
    headers, body = receiver.seen[0]
    assert (headers["webhook-id"], headers["content-type"]) == ("m", "application/json")
    assert body == b'{"a":1}'


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Result.SENT),
        (204, Result.SENT),
        (301, Result.RETRY),
        (307, Result.RETRY),
        (400, Result.DEAD),
        (404, Result.DEAD),
        (408, Result.RETRY),
        (410, Result.GONE),
        (413, Result.DEAD),
        (425, Result.RETRY),
        (429, Result.RETRY),
        (500, Result.RETRY),
        (503, Result.RETRY),
    ],
)
def test_the_status_says_whether_trying_again_can_help(
    status: int, result: Result, now: datetime
) -> None:
    with a_receiver(status) as receiver:
        outcome = post(receiver.url, b"{}", {}, now=now, allow=LOOPBACK)

    assert (outcome.result, outcome.status, outcome.answered) == (result, status, True)


def test_a_redirect_is_not_followed(now: datetime) -> None:
    with a_receiver() as inside, a_receiver() as receiver:
        receiver.then(302, {"location": inside.url})
        outcome = post(receiver.url, b"{}", {}, now=now, allow=LOOPBACK)

    assert (outcome.result, outcome.status) == (Result.RETRY, 302)
    assert inside.seen == []


def test_the_environments_proxy_is_not_asked(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_receiver() as proxy, a_receiver() as receiver:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        outcome = post(receiver.url, b"{}", {}, now=now, allow=LOOPBACK)

    assert outcome.result is Result.SENT
    assert proxy.seen == []


def test_a_receiver_that_is_down_is_tried_again(now: datetime) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    outcome = post(url, b"{}", {}, now=now, allow=LOOPBACK)

    assert (outcome.result, outcome.answered) == (Result.RETRY, True)  # surely not taken in


def test_a_name_that_does_not_resolve_is_tried_again(now: datetime) -> None:
    def fails(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    assert post("https://gone.test/", b"", {}, now=now, resolve=fails).result is Result.RETRY
    assert post("https://gone.test/", b"", {}, now=now, resolve=Names()).result is Result.RETRY


@contextmanager
def a_socket(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a server that treats its one connection as ``talk`` says, until it is left."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                with suppress(OSError):  # the client has gone: that is what the test waits for
                    talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            thread.join()


def drip(connection: socket.socket) -> None:
    """Send a byte every 50 ms for as long as the client listens: no single read is slow."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
    for _ in range(400):
        connection.sendall(b"a")
        time.sleep(0.05)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n")
    for _ in range(400):
        connection.sendall(b"a")
        time.sleep(0.05)


def hang(connection: socket.socket) -> None:
    connection.settimeout(20)
    connection.recv(1)  # returns once the client gives up


@pytest.mark.parametrize("talk", [drip, drip_body, hang])
def test_a_receiver_that_takes_for_ever_is_left_at_the_deadline(
    talk: Callable[[socket.socket], None], now: datetime
) -> None:
    began = time.monotonic()
    with a_socket(talk) as url:
        outcome = post(url, b"{}", {}, now=now, allow=LOOPBACK, total_s=0.4)
        took = time.monotonic() - began

    assert (outcome.result, outcome.answered) == (Result.RETRY, False)  # it may have the message
    assert took < 5


def test_a_receiver_that_hangs_up_may_have_taken_the_message(now: datetime) -> None:
    with a_socket(lambda connection: connection.close()) as url:
        outcome = post(url, b"{}", {}, now=now, allow=LOOPBACK)

    assert (outcome.result, outcome.answered) == (Result.RETRY, False)


def test_an_endless_answer_is_cut(now: datetime) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 500 no\r\ncontent-length: 1000000000\r\n\r\n")
        while True:
            sent += connection.send(b"a" * 65536)

    with a_socket(flood) as url:
        outcome = post(url, b"{}", {}, now=now, allow=LOOPBACK)

    assert outcome.status == 500
    assert sent < 200 * READ_BYTES  # what the sockets' buffers hold, not a gigabyte


def test_the_answer_of_a_private_address_is_not_kept(now: datetime) -> None:
    with a_receiver() as receiver:
        receiver.then(500, body=b"secret of the inside")
        outcome = post(receiver.url, b"{}", {}, now=now, allow=LOOPBACK)

    assert outcome.answer is None


@contextmanager
def a_tls_receiver() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Run an HTTPS server whose certificate is for receiver.test; yields its port and requests."""
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            seen.append((self.headers["host"], self.path))
            answer = b"x" * 200_000
            self.send_response(500)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            with suppress(OSError):  # the client reads no more than it wants
                self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    server = QuietServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class QuietServer(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a refused handshake is what some of these tests want


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(PEM))


def send(port: int, names: Names, tls: ssl.SSLContext | None, host: str, now: datetime) -> Outcome:
    url = f"https://{host}:{port}/hook?a=b"
    return post(url, b"{}", {}, now=now, allow=LOOPBACK, resolve=names, tls=tls)


def test_a_trusted_certificate_is_checked_against_the_name_not_the_address(now: datetime) -> None:
    names = Names("127.0.0.1")
    with a_tls_receiver() as (port, seen):
        outcome = send(port, names, trusting(), "receiver.test", now)

    assert outcome.status == 500
    assert seen == [(f"receiver.test:{port}", "/hook?a=b")]
    assert names.asked == ["receiver.test"]  # one question, so nothing can be swapped in between


@pytest.mark.parametrize("host", ["receiver.test", "another.test"])
def test_a_certificate_that_is_not_trusted_or_not_the_names_is_refused(
    host: str, now: datetime
) -> None:
    tls = None if host == "receiver.test" else trusting()
    with a_tls_receiver() as (port, seen):
        outcome = send(port, Names("127.0.0.1"), tls, host, now)

    assert (outcome.result, outcome.status) == (Result.RETRY, None)
    assert seen == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("86400", 3600.0),
        ("-5", 0.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Thu, 15 Jan 2026 12:01:00 GMT", 30.0),
        ("Thu, 15 Jan 2026 12:01:00 -0000", None),
        ("Thu, 15 Jan 2026 12:01:00 +999999999999999999", None),
    ],
)
def test_retry_after_is_honoured_up_to_an_hour(
    text: str, seconds: float | None, now: datetime
) -> None:
    assert retry_after(text, now) == seconds


def test_an_answer_is_kept_as_short_printable_text() -> None:
    from analysis.alerts.post import printable

    assert printable(b"no\x1b[31m\nroom\xff") == "no [31m room\ufffd"
    assert len(printable(b"x" * 100_000)) == KEEP_CHARS
