"""Who may send: API keys, kept in memory, compared in constant time."""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum

from collector.metrics import Metrics
from tidegauge import log
from tidegauge.clock import EPOCH
from tidegauge.store import keys
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.keys import Key, Scope

REFRESH_S = 1.0  # with the reading itself, a revocation acts well within 5 s
NOTE_USE_S = 2.0
STOP_WITHIN_S = 1.0
_NOBODY = bytes(32)  # what the secret of an unknown key is compared with; no text hashes to it
# Some SDKs send OTEL_EXPORTER_OTLP_HEADERS as it stands, with the blank still written as %20.
_BEARER = re.compile(r"bearer(?:\s+|%20)(.*)", re.IGNORECASE | re.DOTALL)
_OF_A_PROXY = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_HOW = "send it in the header 'x-tidegauge-key', or as 'authorization: Bearer <key>'"

Clock = Callable[[], datetime]


class Rule(StrEnum):
    """Who needs a key."""

    REQUIRED = "required"
    ON_THIS_MACHINE = "not needed on this machine"
    OPEN = "not needed"


class NoKey(Exception):
    """The collector would refuse everybody; the message says how to make a key."""


WHY = ("missing", "malformed", "unknown", "wrong_secret", "expired", "scope")


class Unauthenticated(Exception):
    """No key, or none that is valid. ``why`` is one of WHY, for the counters."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


class WrongScope(Exception):
    """The key is valid, but for something else."""

    def __init__(self, key: Key, message: str) -> None:
        super().__init__(message)
        self.key = key


def rule(host: str, *, require_keys: bool, insecure: bool) -> Rule:
    """Return who needs a key on an address. It never depends on which keys there are.

    Else the first key made for one app would shut out another, and the last one revoked would
    open the door (docs/decisions/0011).
    """
    if require_keys:
        return Rule.REQUIRED
    if insecure:
        return Rule.OPEN
    return Rule.ON_THIS_MACHINE if is_loopback(host) else Rule.REQUIRED


def is_loopback(host: str) -> bool:
    """Return whether nobody but this machine can reach a server that listens on ``host``.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "0.0.0.0", "::", "", "10.0.0.5")]
    [True, True, False, False, False, False]
    """
    if not host:
        return False  # every address
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
    return all(address.is_loopback for address in addresses)


def open_gate(engine: Engine, host: str, who: Rule, *, clock: Clock, metrics: Metrics) -> Gate:
    """Return a gate that reads its keys anew every second, until close().

    Raises StoreBusy, and NoKey where everybody would be refused.
    """
    gate = Gate(engine, who, clock=clock, metrics=metrics)
    gate.refresh()
    if who is Rule.REQUIRED and not gate.lets_anyone_in():
        raise NoKey(
            f"requests to {host or 'every address'} need a key, and this database has none that "
            "may send; make one with `tidegauge keys create --name APP`, "
            "or take requests without a key: --insecure, and no TIDEGAUGE_REQUIRE_KEYS"
        )
    gate.start()
    return gate


class Gate:
    """The keys that were valid at the last refresh(), and who is let in with them."""

    def __init__(self, engine: Engine, who: Rule, *, clock: Clock, metrics: Metrics) -> None:
        self._engine = engine
        self._rule = who
        self._clock = clock
        self._metrics = metrics
        self._used: dict[str, datetime] = {}  # of valid keys alone: strangers cannot make it grow
        self._noted: dict[str, datetime] = {}
        self._keys: Mapping[str, Key] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def admit(self, headers: Mapping[str, str], scope: Scope = Scope.INGEST) -> Key | None:
        """Return the key in a request's headers or gRPC metadata; None: none is needed.

        A key that is sent must be valid, needed or not: its owner believes that it counts.
        Raises Unauthenticated and WrongScope.
        """
        sent = token(headers)
        if sent is None:
            if self._needs_key(headers):
                message = f"an API key is needed: {_HOW}; `tidegauge keys create` makes one"
                raise self._refusal("missing", message)
            return None
        key = self._check(sent)
        if key.scope is not scope:
            self._metrics.add("tidegauge_key_refusals_total", why="scope")
            message = f"this API key is for '{key.scope}'; one for '{scope}' is needed here"
            raise WrongScope(key, message)
        self._used[key.key_id] = self._clock()
        return key

    def lets_anyone_in(self) -> bool:
        """Return whether there is a live key that may send."""
        now = self._clock()
        known = self._keys.values()
        return any(key.scope is Scope.INGEST and key.state(now) == "live" for key in known)

    def refresh(self) -> None:
        """Read the keys anew. Raises StoreBusy."""
        # While the database is away the last known keys stay valid: senders that were refused for
        # that would drop what they hold, and nothing of it can be stored meanwhile anyway.
        with read(self._engine) as db:
            found = keys.valid(db, self._clock())
        self._keys = {key.key_id: key for key in found}

    def note_use(self) -> None:
        """Write when keys were last used, each at most once a minute. Raises StoreBusy."""
        used = {
            key_id: at
            for key_id, at in dict(self._used).items()
            if at - self._noted.get(key_id, EPOCH) >= keys.USE_NOTED_EVERY
        }
        if used:
            with write(self._engine) as db:
                keys.note_use(db, used)
            self._noted.update(used)

    def start(self) -> None:
        """Do both again and again, each on a thread of its own.

        One that waits for the write lock must not keep a revocation from being read.
        """
        for args in (
            (REFRESH_S, self.refresh, "keys cannot be read; those known stay valid"),
            (NOTE_USE_S, self.note_use, "the use of keys cannot be noted now"),
        ):
            thread = threading.Thread(target=self._repeat, args=args, name="keys", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Read and write nothing more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_WITHIN_S)

    def _needs_key(self, headers: Mapping[str, str]) -> bool:
        if self._rule is Rule.ON_THIS_MACHINE:
            # A proxy on this machine hands on what others send.
            return any(name in headers for name in _OF_A_PROXY)
        return self._rule is Rule.REQUIRED

    def _check(self, sent: str) -> Key:
        """Return the key that was sent. Raises Unauthenticated."""
        parts = keys.split(sent)
        if parts is None:
            raise self._invalid("malformed")
        key_id, secret = parts
        key = self._keys.get(key_id)
        # Also where there is no such key: the time an answer takes must not tell which ids exist.
        right = hmac.compare_digest(keys.hash_of(secret), key.secret_hash if key else _NOBODY)
        if key is None or not right:
            raise self._invalid("unknown" if key is None else "wrong_secret")
        if key.state(self._clock()) == "expired":
            message = "this API key has expired; `tidegauge keys create` makes a new one"
            raise self._refusal("expired", message)
        return key

    def _invalid(self, why: str) -> Unauthenticated:
        message = f"this API key is not valid: mistyped, revoked or of another server; {_HOW}"
        return self._refusal(why, message)

    def _refusal(self, why: str, message: str) -> Unauthenticated:
        self._metrics.add("tidegauge_key_refusals_total", why=why)
        return Unauthenticated(why, message)

    def _repeat(self, every_s: float, job: Callable[[], None], trouble: str) -> None:
        troubled = False
        while not self._stop.wait(every_s):
            try:
                job()
                troubled = False
            except Exception as error:  # noqa: BLE001
                # A thread that ends would let a revoked key in for ever.
                if not troubled:
                    log.get(__name__).warning(trouble, error=type(error).__name__)
                troubled = True


def token(headers: Mapping[str, str]) -> str | None:
    """Return what stands where a key belongs. If nothing does, return None.

    >>> token({"authorization": "Bearer tg_a_b"}), token({"authorization": "Basic eDp5"})
    ('tg_a_b', None)
    """
    # Our own header first: a proxy in front may need the other for itself.
    if (own := headers.get("x-tidegauge-key")) is not None:
        return own.strip()
    bearer = _BEARER.fullmatch(headers.get("authorization", "").strip())
    return bearer[1].strip() if bearer else None
