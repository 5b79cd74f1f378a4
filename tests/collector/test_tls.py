from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from collector.connections import Deadlines
from collector.edges import Timing
from collector.tls import Files, Tls, TlsUnusable, files_of
from tests.collector.certificates import Authority, Party, files, replace
from tests.collector.edge import Edge, read_all
from tests.collector.test_exporters import calls_of, send
from tests.collector.test_serve import refused_start, starting
from tests.processes import until
from tidegauge.store.engine import Engine

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
QUICK_S = 0.5  # enough for a client that fails

Exporter = Callable[..., SpanExporter]


@pytest.fixture(autouse=True)
def _no_trust_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep requests from trusting what the machine trusts instead of what it is told to."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "other")


@pytest.fixture
def server(ours: Authority) -> Party:
    return ours.sign("server")


@pytest.fixture
def edge(sqlite_engine: Engine, now: datetime, server: Party) -> Iterator[Edge]:
    with Edge(sqlite_engine, now, tls=Tls(files(server))) as edge:
        yield edge


@pytest.fixture
def mutual(sqlite_engine: Engine, now: datetime, server: Party, ours: Authority) -> Iterator[Edge]:
    """Return an edge that asks its clients for a certificate."""
    with Edge(sqlite_engine, now, tls=Tls(files(server, ours.path))) as edge:
        yield edge


def over_http(
    edge: Edge, trusted: Path, client: Party | None = None, timeout: float = 10
) -> HttpExporter:
    return HttpExporter(
        endpoint=f"https://{edge.http}/v1/traces",
        certificate_file=str(trusted),
        client_certificate_file=str(client.certificate) if client else None,
        client_key_file=str(client.key) if client else None,
        timeout=timeout,
    )


def over_grpc(
    edge: Edge, trusted: Path, client: Party | None = None, timeout: float = 10
) -> GrpcExporter:
    return GrpcExporter(
        endpoint=f"https://{edge.grpc}",
        credentials=grpc.ssl_channel_credentials(
            trusted.read_bytes(),
            client.key.read_bytes() if client else None,
            client.certificate.read_bytes() if client else None,
        ),
        timeout=timeout,
    )


@pytest.mark.parametrize("exporter", [over_http, over_grpc])
def test_o47_an_exporter_that_trusts_us_delivers(
    exporter: Exporter, edge: Edge, ours: Authority, sqlite_url: str
) -> None:
    assert send(exporter(edge, ours.path), "tls") == [SpanExportResult.SUCCESS] * 2
    assert len(calls_of(sqlite_url, "tls")) == 2


@pytest.mark.parametrize("exporter", [over_http, over_grpc])
def test_o47_an_exporter_that_trusts_another_ca_delivers_nothing(
    exporter: Exporter, edge: Edge, other: Authority, sqlite_url: str
) -> None:
    result = send(exporter(edge, other.path, timeout=QUICK_S), "wrong-ca")
    assert result == [SpanExportResult.FAILURE] * 2
    assert calls_of(sqlite_url, "wrong-ca") == []


@pytest.mark.parametrize("exporter", [over_http, over_grpc])
def test_o47_with_an_expired_certificate_we_are_not_trusted(
    exporter: Exporter,
    sqlite_engine: Engine,
    now: datetime,
    ours: Authority,
    sqlite_url: str,
) -> None:
    old = Tls(files(ours.sign("old", expired=True)))
    with Edge(sqlite_engine, now, tls=old) as edge:
        result = send(exporter(edge, ours.path, timeout=QUICK_S), "expired")
    assert result == [SpanExportResult.FAILURE] * 2
    assert calls_of(sqlite_url, "expired") == []


@pytest.mark.parametrize("exporter", [over_http, over_grpc])
def test_o47_a_client_with_a_certificate_delivers(
    exporter: Exporter, mutual: Edge, ours: Authority, sqlite_url: str
) -> None:
    client = ours.sign("client")
    assert send(exporter(mutual, ours.path, client), "mtls") == [SpanExportResult.SUCCESS] * 2
    assert len(calls_of(sqlite_url, "mtls")) == 2


@pytest.mark.parametrize("exporter", [over_http, over_grpc])
@pytest.mark.parametrize("shown", ["nothing", "another CA's", "an expired one"])
def test_o47_a_client_without_a_good_certificate_delivers_nothing(
    shown: str,
    exporter: Exporter,
    mutual: Edge,
    ours: Authority,
    other: Authority,
    sqlite_url: str,
) -> None:
    client = {
        "nothing": None,
        "another CA's": other.sign("foreign"),
        "an expired one": ours.sign("late", expired=True),
    }[shown]
    result = send(exporter(mutual, ours.path, client, timeout=QUICK_S), "mtls")
    assert result == [SpanExportResult.FAILURE] * 2
    assert calls_of(sqlite_url, "mtls") == []


@pytest.mark.parametrize("port", ["http", "grpc"])
def test_o47_older_than_tls_1_2_is_refused(port: str, edge: Edge) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match=r"TLSv1 "):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")  # else OpenSSL itself would not offer it
    address = getattr(edge, port).split(":")
    with (
        socket.create_connection((address[0], int(address[1])), timeout=10) as plain,
        pytest.raises(OSError, match=r"ALERT_PROTOCOL_VERSION|alert protocol version|reset|EOF"),
    ):
        old.wrap_socket(plain)


def shown_by(edge: Edge, port: str) -> bytes:
    """Return the certificate that a new connection is shown."""
    asks = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asks.check_hostname, asks.verify_mode = False, ssl.CERT_NONE
    asks.set_alpn_protocols(["h2", "http/1.1"])
    host, number = getattr(edge, port).split(":")
    with (
        socket.create_connection((host, int(number)), timeout=10) as plain,
        asks.wrap_socket(plain) as inside,
    ):
        return inside.getpeercert(binary_form=True) or b""


def test_o47_a_new_certificate_is_shown_without_a_restart(
    edge: Edge, ours: Authority, other: Authority, server: Party
) -> None:
    old = shown_by(edge, "http")
    assert shown_by(edge, "grpc") == old
    with httpx.Client(verify=ssl.create_default_context(cafile=ours.path)) as kept:
        url = f"https://{edge.http}/healthz"
        assert kept.get(url).status_code == 200
        other.sign("server")  # over the files of the first
        assert until(lambda: shown_by(edge, "http") != old, 15)
        assert shown_by(edge, "grpc") == shown_by(edge, "http")
        assert kept.get(url).status_code == 200  # open connections go on
    result = send(over_grpc(edge, other.path), "renewed")
    result += send(over_http(edge, other.path), "renewed")
    assert result == [SpanExportResult.SUCCESS] * 4


def test_o47_files_that_cannot_be_used_change_nothing_and_are_logged_once(
    ours: Authority, server: Party, capsys: pytest.CaptureFixture[str]
) -> None:
    tls = Tls(files(server))
    before = tls.context
    replace(server.certificate, b"-----BEGIN NONSENSE-----")
    for _ in range(5):
        tls.reload()
    assert tls.context is before
    said = "".join(capsys.readouterr())
    assert said.count("the old certificate stays") == 1
    assert str(server.certificate) in said
    ours.sign("server")
    for _ in range(5):
        tls.reload()
    assert tls.context is not before
    assert "loaded anew" in "".join(capsys.readouterr())


def test_o47_a_key_that_comes_a_moment_later_than_its_certificate_is_waited_for(
    ours: Authority, server: Party, capsys: pytest.CaptureFixture[str]
) -> None:
    tls = Tls(files(server))
    new = ours.sign("new")
    replace(server.certificate, new.certificate.read_bytes())
    tls.reload()
    replace(server.key, new.key.read_bytes())
    for _ in range(3):
        tls.reload()
    said = "".join(capsys.readouterr())
    assert "the old certificate stays" not in said
    assert "loaded anew" in said


def test_o47_plaintext_to_the_http_port_is_logged_once(
    edge: Edge, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        with edge.connect() as plain:
            plain.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert b"HTTP/1.1 200" not in read_all(plain)
    assert "".join(capsys.readouterr()).count("its endpoint needs https://") == 1


def test_o47_a_client_without_a_certificate_is_logged_once(
    mutual: Edge, ours: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    trusts = ssl.create_default_context(cafile=ours.path)
    for _ in range(2):
        with httpx.Client(verify=trusts) as client, pytest.raises(httpx.TransportError):
            client.get(f"https://{mutual.http}/healthz")
    said: list[str] = []

    def says_so() -> bool:
        said.extend(capsys.readouterr())
        return "shows no certificate" in "".join(said)

    assert until(says_so, 5)


def test_r12_a_tls_handshake_that_does_not_end_is_closed(
    sqlite_engine: Engine, now: datetime, server: Party
) -> None:
    quick = Timing(deadlines=Deadlines(head_s=0.4))
    tls = Tls(files(server))
    with Edge(sqlite_engine, now, tls=tls, timing=quick, max_connections=10) as edge:
        silent = [edge.connect() for _ in range(30)]
        for one in silent:
            assert read_all(one) == b""
            one.close()
        assert edge.ended("slow_head") + edge.ended("made_room") == 30
        assert edge.metrics.value("tidegauge_connections") == 0


def test_o47_a_wrong_setting_stops_the_start_in_one_line(
    ours: Authority, server: Party, sqlite_url: str, tmp_path: Path
) -> None:
    line = refused_start(sqlite_url, TIDEGAUGE_TLS_CERT_FILE=str(server.certificate))
    assert "TIDEGAUGE_TLS_KEY_FILE" in line
    line = refused_start(
        sqlite_url,
        TIDEGAUGE_TLS_CERT_FILE=str(server.certificate),
        TIDEGAUGE_TLS_KEY_FILE=str(tmp_path / "nowhere.key"),
    )
    assert "nowhere.key" in line
    assert "No such file" in line


def test_o47_what_cannot_be_used_is_named(ours: Authority, server: Party, tmp_path: Path) -> None:
    foreign = ours.sign("foreign")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    locked = tmp_path / "locked.key"
    locked.write_bytes(encrypted(server.key.read_bytes()))
    for wrong, why in {
        Files(server.certificate, foreign.key): "is not the key of the certificate",
        Files(nonsense, server.key): "nonsense.pem",
        Files(server.certificate, nonsense): "nonsense.pem",
        Files(server.certificate, locked): "is encrypted",
        Files(server.certificate, server.key, nonsense): "TIDEGAUGE_TLS_CLIENT_CA_FILE",
    }.items():
        with pytest.raises(TlsUnusable, match=why) as caught:
            Tls(wrong)
        assert "\n" not in str(caught.value)


def encrypted(key: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    return form.load_pem_private_key(key, None).private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"secret")
    )


def test_o47_certificate_and_key_are_needed_together() -> None:
    assert files_of(None, None, None) is None
    one = Path("x.pem")
    for wrong in ((one, None, None), (None, one, None), (None, None, one)):
        with pytest.raises(TlsUnusable):
            files_of(*wrong)


def test_o47_a_collector_with_tls_says_https(
    ours: Authority, server: Party, sqlite_url: str
) -> None:
    process = starting(
        sqlite_url,
        TIDEGAUGE_TLS_CERT_FILE=str(server.certificate),
        TIDEGAUGE_TLS_KEY_FILE=str(server.key),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "HTTP on https://127.0.0.1:" in line
    address = line.split("HTTP on ")[1].split(",")[0]
    trusts = ssl.create_default_context(cafile=ours.path)
    assert httpx.get(f"{address}/healthz", verify=trusts).status_code == 200
    process.terminate()
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in log


def test_o47_a_ca_file_may_have_a_comment_in_any_language(ours: Authority, server: Party) -> None:
    ours.path.write_bytes("# Zertifizierungsstelle für Ämter\n".encode() + ours.path.read_bytes())
    assert Tls(files(server, ours.path)).context.verify_mode is ssl.CERT_REQUIRED
