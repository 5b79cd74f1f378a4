"""Certificate and key of both edges: checked at the start, loaded anew when the files change."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from tidegauge import log


class TlsUnusable(Exception):
    """The TLS files cannot be used; the message says in one line which, and why."""


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files. With a ``client_ca`` a client must show a certificate that it signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def files_of(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Files | None:
    """Return the files of the settings; None where TLS is not asked for. Raises TlsUnusable."""
    if certificate is None and key is None:
        if client_ca is not None:
            raise TlsUnusable(
                "TIDEGAUGE_TLS_CLIENT_CA_FILE needs TIDEGAUGE_TLS_CERT_FILE and TIDEGAUGE_TLS_KEY_FILE"
            )
        return None
    if certificate is None or key is None:
        raise TlsUnusable("TIDEGAUGE_TLS_CERT_FILE and TIDEGAUGE_TLS_KEY_FILE are needed together")
    return Files(certificate, key, client_ca)


@dataclass(frozen=True, slots=True)
class _Loaded:
    context: ssl.SSLContext
    rpc: grpc.ServerCertificateConfiguration


_Stamp = tuple[tuple[int, int, int], ...]  # of each file: when changed, size, inode


class Tls:
    """What both servers show to clients now. ``context`` is for each new HTTP connection."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._stamp = _stamp(files)
        self._seen = self._stamp
        self._loaded = _load(files)
        self._given = self._loaded.rpc

    @property
    def context(self) -> ssl.SSLContext:
        """Return the context of connections that are made from now on."""
        return self._loaded.context

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that follow the files, for a gRPC server."""
        must_show = self._files.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(self._given, self._changed, must_show)

    def reload(self) -> None:
        """Load the files where they changed; call it every few seconds.

        Files that cannot be used change nothing, and are logged once: connections go on with the
        old certificate. They are loaded once two calls saw the same, as key and certificate are
        rarely replaced in the same moment.
        """
        seen, self._seen = self._seen, _stamp(self._files)
        if self._seen == self._stamp or self._seen != seen:
            return
        self._stamp = self._seen
        try:
            self._loaded = _load(self._files)
        except TlsUnusable as error:
            log.get(__name__).error(
                "new TLS files not used; the old certificate stays", why=str(error)
            )
        else:
            log.get(__name__).info(
                "TLS files loaded anew", certificate=str(self._files.certificate)
            )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the certificate of a new gRPC connection; None: the same as before."""
        now = self._loaded.rpc
        if now is self._given:
            return None
        self._given = now
        return now


def _stamp(files: Files) -> _Stamp:
    return tuple(
        _stamp_of(one) for one in (files.certificate, files.key, files.client_ca) if one is not None
    )


def _stamp_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)  # gone for a moment, or for good
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _load(files: Files) -> _Loaded:
    """Return what the files hold. Raises TlsUnusable."""
    certificate = _read("TIDEGAUGE_TLS_CERT_FILE", files.certificate)
    key = _read("TIDEGAUGE_TLS_KEY_FILE", files.key)
    if b"ENCRYPTED" in key:
        raise TlsUnusable(
            f"TIDEGAUGE_TLS_KEY_FILE: {files.key} is encrypted; give a key without a password"
        )
    root = _read("TIDEGAUGE_TLS_CLIENT_CA_FILE", files.client_ca) if files.client_ca else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Were no password given, OpenSSL could ask for one on the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TlsUnusable(_what_is_wrong(files, error)) from None
    if files.client_ca:
        _trust(context, files.client_ca)
    return _Loaded(context, grpc.ssl_server_certificate_configuration([(key, certificate)], root))


def _trust(context: ssl.SSLContext, path: Path) -> None:
    try:
        # Not cadata=: it takes ASCII alone, and a comment may name a CA in any language.
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        raise TlsUnusable(
            f"TIDEGAUGE_TLS_CLIENT_CA_FILE: {path} holds no certificate in PEM form"
        ) from None
    context.verify_mode = ssl.CERT_REQUIRED


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsUnusable(f"{setting}: {path}: {error.strerror}") from None


def _what_is_wrong(files: Files, error: Exception) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"TIDEGAUGE_TLS_KEY_FILE: {files.key} is not the key of the certificate {files.certificate}"
    return (
        f"TIDEGAUGE_TLS_CERT_FILE, TIDEGAUGE_TLS_KEY_FILE: {files.certificate} and {files.key} do not hold a "
        f"certificate and its key in PEM form"
    )
