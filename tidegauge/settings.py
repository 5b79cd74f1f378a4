"""Every setting, its unit and its default; read once, at the entry point."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError


def data_folder() -> Path:
    """Return the user's data folder for Tidegauge, by the XDG rules."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "tidegauge"


class Settings(BaseSettings):
    """The environment variables ``TIDEGAUGE_<NAME>``; docs/settings.md lists them.

    >>> Settings(otlp_http_port=0).otlp_http_port
    0
    """

    model_config = SettingsConfigDict(
        env_prefix="TIDEGAUGE_", extra="forbid", frozen=True, validate_default=True
    )

    database_url: str = Field(
        default_factory=lambda: f"sqlite:///{data_folder() / 'tidegauge.db'}",
        description="Where everything is kept: sqlite:///PATH or postgresql://...",
    )
    host: str = Field("127.0.0.1", description="Address that the collector and dashboard bind.")
    otlp_http_port: int = Field(4318, ge=0, le=65535, description="Port of OTLP over HTTP.")
    otlp_grpc_port: int = Field(4317, ge=0, le=65535, description="Port of OTLP over gRPC.")
    dashboard_port: int = Field(8501, ge=0, le=65535, description="Port of the dashboard.")
    public_url: str = Field(
        "", description="Address people reach the dashboard at; links in alerts start with it."
    )
    project: str = Field("default", min_length=1, description="Project that spans belong to.")
    require_keys: bool = Field(
        False, description="Refuse spans without an API key on loopback too, as elsewhere."
    )
    insecure: bool = Field(
        False, description="Take spans without an API key on any address, from anybody."
    )
    over_limit_status: str = Field(
        "503",
        pattern="^(503|429)$",
        description="HTTP status for a key over its rate: 503, or 429, at which old clients drop.",
    )
    max_body_bytes: int = Field(
        16 * 2**20, ge=1024, description="Largest request body after decompression, bytes."
    )
    max_memory_bytes: int = Field(
        512 * 2**20, ge=256 * 2**20, description="Memory the collector may use at any load, bytes."
    )
    max_queue_bytes: int | None = Field(
        None,
        ge=2**20,
        description="Bytes in flight before new requests are put off; "
        "empty: a quarter of max_memory_bytes.",
    )
    max_connections: int | None = Field(
        None,
        ge=1,
        description="Open connections of each edge; empty: 1,000, or less where `ulimit -n` is low.",
    )
    tls_cert_file: Path | None = Field(
        None, description="Certificate (chain) of both OTLP ports, PEM; empty: no TLS."
    )
    tls_key_file: Path | None = Field(None, description="Its key, PEM, without a password.")
    tls_client_ca_file: Path | None = Field(
        None, description="CA that must have signed the certificates of clients, PEM; empty: any."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins whose pages may send spans, like https://shop.example, "
        "comma-separated; empty: none.",
    )
    readers: int | None = Field(
        None,
        ge=0,
        le=64,
        description="Processes that read requests; empty: one a core, four at most. 0: none "
        "beside the collector itself, which takes 80 MB less and uses one core only.",
    )
    answer_within_s: float = Field(
        5.0, gt=0, le=8, description="A request is answered within this time, seconds."
    )
    content_salt: SecretStr = Field(
        SecretStr(""), description='Makes the digests that `capture = "hash"` keeps; 16 characters.'
    )
    policy_file: Path | None = Field(None, description="A tidegauge.toml with a [policy] table.")
    analyse_every_s: float = Field(
        60.0, ge=1, le=3600, description="Time between two looks at the traffic, seconds."
    )
    webhook_url: str = Field("", description="Where on-call is told; empty: nobody is told.")
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="Signing secret of the webhook, as whsec_<base64>."
    )
    webhook_allow_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Networks a webhook may reach although they are private, comma-separated.",
    )
    reviewer: str = Field("reviewer", min_length=1, description="Name verdicts are signed with.")
    log_format: str = Field("text", pattern="^(text|json)$", description="text or json.")
    telemetry_endpoint: str = Field(
        "",
        description="Where Tidegauge sends spans of its own work: the base address of an OTLP/HTTP "
        "endpoint, like http://host:4318; empty: nowhere.",
    )
    telemetry_sample: float = Field(
        0.01, ge=0, le=1, description="Share of the collector's requests whose own spans are sent."
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Drop empty values, as .env and compose files make them; an empty text is a value."""
        texts = {name for name, known in cls.model_fields.items() if known.annotation is str}
        return {
            name: value
            for name, value in given.items()
            # Were a text dropped too, an empty project or database would silently be another one.
            if name in texts or not isinstance(value, str) or value.strip()
        }

    @field_validator("max_queue_bytes")
    @classmethod
    def _queue_fits_into_memory(cls, value: int | None, info: ValidationInfo) -> int | None:
        memory = info.data.get("max_memory_bytes")  # missing where it is bad itself
        if value is not None and memory is not None and value > memory:
            raise ValueError(f"must not be above TIDEGAUGE_MAX_MEMORY_BYTES, which is {memory}")
        return value

    @field_validator("webhook_allow_networks", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _named_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://[^/*\s]+", origin):
                raise ValueError(
                    f"{origin[:80]!r} is no origin: it has a scheme and a host, no path and no *"
                )
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "postgresql://")):
            raise ValueError("must start with sqlite:/// or postgresql://")
        return value

    @property
    def otlp_scheme(self) -> str:
        """Return how the addresses of the OTLP ports begin."""
        return "http" if self.tls_cert_file is None else "https"

    @property
    def queue_bytes(self) -> int:
        """Return the bytes in flight before new requests are put off."""
        return self.max_queue_bytes or self.max_memory_bytes // 4

    @property
    def reader_count(self) -> int:
        """Return how many processes read requests."""
        if self.readers is not None:
            return self.readers
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        fit = (self.max_memory_bytes - 256 * 2**20) // (128 * 2**20)  # beside the collector itself
        return max(0, min(cores, 4, fit)) if cores > 1 else 0

    @property
    def dashboard_url(self) -> str:
        """Return where people reach the dashboard, without a slash at the end."""
        # A wildcard is no address to open; whoever binds one sets public_url.
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return (self.public_url or f"http://{host}:{self.dashboard_port}").rstrip("/")


class BadSettings(ValueError):
    """Settings that cannot be used; the message says in one line which, and what they mean."""


_PRIVATE = {
    "webhook_secret",
    "content_salt",
    "database_url",
}  # may hold a secret or a password: never said


def load(**given: Any) -> Settings:
    """Return the settings: what was ``given`` on the command line, else the environment.

    Raises BadSettings for a misspelt variable and for a bad value.
    """
    if unknown := unknown_names(os.environ):
        raise BadSettings(
            f"{', '.join(unknown)}: no such setting; correct the name or unset it "
            "(docs/settings.md lists them all)"
        )
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise BadSettings("; ".join(_bad_values(error))) from None
    except SettingsError as error:
        raise BadSettings(f"{error}; correct the environment variable") from None


def _bad_values(error: ValidationError) -> list[str]:
    """Return one sentence per bad setting, with the variable that sets it."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        given = "" if name in _PRIVATE else f" (given: {str(problem['input'])[:80]!r})"
        known = Settings.model_fields.get(name)
        meant = f"; it means: {known.description}" if known and known.description else ""
        lines.append(f"TIDEGAUGE_{name.upper()}: {problem['msg']}{given}{meant}")
    return lines


def unknown_names(environment: Iterable[str]) -> list[str]:
    """Return the ``TIDEGAUGE_*`` variables that no setting answers to, sorted.

    pydantic-settings ignores a misspelt variable; a setting that silently does nothing is worse
    than one that stops the start.

    >>> unknown_names(["TIDEGAUGE_HOSTT", "TIDEGAUGE_HOST", "PATH"])
    ['TIDEGAUGE_HOSTT']
    """
    known = {f"TIDEGAUGE_{name}".upper() for name in Settings.model_fields}
    ours = {name for name in environment if name.upper().startswith("TIDEGAUGE_")}
    return sorted(
        name
        for name in ours
        if name.upper() not in known and not name.upper().startswith("TIDEGAUGE_TEST_")
    )
