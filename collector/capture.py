"""What is kept of a call's content: as the project's policy asks, and never a secret."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson

from collector import redact
from collector.redact import BadRule, Rules, rules_of
from tidegauge.call import Call
from tidegauge.policy import EVERY, BadPolicy, Capture, Policy, Project
from tidegauge.pricing import LIST, Prices

SALT_CHARS = 16  # fewer could be guessed, and with the salt every short text
NOTE = "tidegauge.capture"  # says on a call why its content is not there
_BESIDE = "tidegauge.span"  # what is no attribute of the span: collector/dialects
_SHORT = 200  # characters: a name, not a message
_MANY = 32  # items: a list of names, not an embedding
_ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function", "model"))

# Text is content unless its name says otherwise: a new dialect must not tell what an old one hides.
_NAMES = (
    "gen_ai.system gen_ai.output.type gen_ai.token.type gen_ai.prompt.name gen_ai.prompt.version "
    "gen_ai.conversation.id gen_ai.tool.name gen_ai.tool.type gen_ai.tool.call.id "
    "llm.system llm.provider llm.vendor llm.model_name llm.request.type llm.response.model "
    "llm.response.finish_reason llm.response.stop_reason openinference.span.kind "
    "embedding.model_name reranker.model_name agent.name graph.node.id "
    "traceloop.span.kind traceloop.workflow.name traceloop.entity.name traceloop.entity.path "
    "traceloop.prompt.key traceloop.prompt.version langfuse.observation.type "
    "langfuse.observation.model.name langfuse.observation.prompt.name langfuse.environment "
    "langfuse.observation.prompt.version langfuse.observation.level langfuse.release "
    "langfuse.version langfuse.trace.name langfuse.session.id langfuse.user.id "
    "langsmith.span.kind langsmith.trace.name mlflow.spanType mlflow.traceRequestId "
    "operation.name resource.name ai.operationId error.type exception.type user.id enduser.id "
    "session.id http.method http.flavor http.scheme http.host http.request.method "
    "db.system db.system.name rpc.system rpc.service rpc.method messaging.system"
)
_STARTS = (
    "gen_ai.request. gen_ai.response. gen_ai.usage. gen_ai.operation. gen_ai.provider. "
    "gen_ai.agent. gen_ai.workflow. gen_ai.openai. openai. aws.bedrock. llm.usage. "
    "llm.token_count. ai.model. ai.usage. ai.settings. ai.telemetry.functionId "
    "ai.response.id ai.response.model ai.response.finishReason server. network. "
    "telemetry. service. deployment. otel. code.function thread. tidegauge."
)
_PLAIN, _PLAIN_STARTS = frozenset(_NAMES.split()), tuple(_STARTS.split())
# Of a resource, on the other hand: what a process was started with may hold anything.
_COMMAND = "process.command"

Digest = Callable[[Any], str | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to the calls of one project before they are stored."""

    mode: Capture = Capture.FULL
    rules: Rules = redact.DEFAULT
    salt: bytes = b""
    prices: Prices = LIST


class Plans:
    """The plan of every project; raises BadPolicy for what cannot be carried out."""

    def __init__(self, policy: Policy, salt: str = "") -> None:
        """Compile the rules of ``policy``. ``salt`` makes the digests of ``hash``: keep it secret."""
        self.prices = Prices(policy.prices) if policy.prices else LIST
        self._plans = {
            name: replace(_plan(name, one, salt), prices=self.prices)
            for name, one in policy.projects.items()
        }
        self._every = self._plans.get(EVERY, Plan(prices=self.prices))

    def of(self, project: str) -> Plan:
        """Return what happens to the calls of ``project``."""
        return self._plans.get(project, self._every)


def _plan(name: str, project: Project, salt: str) -> Plan:
    if project.capture == Capture.HASH and len(salt) < SALT_CHARS:
        raise BadPolicy(
            f"[projects.{name}] has capture = 'hash': set TIDEGAUGE_CONTENT_SALT to a secret of "
            f"{SALT_CHARS} characters or more, and keep it"
        )
    try:
        rules = rules_of(
            personal=project.capture == Capture.REDACTED,
            names=project.redact_names,
            patterns_too=project.redact_patterns,
        )
    except BadRule as error:
        raise BadPolicy(f"[projects.{name}] {error}") from None
    return Plan(project.capture, rules, salt.encode())


def kept(call: Call, plan: Plan, to_json: Callable[[Call], bytes]) -> tuple[Call, bytes]:
    """Return what is stored of a call, and its content as ``to_json`` writes it."""
    call = apply(call, plan.mode, plan.salt)
    content = to_json(call)
    if redact.suspect(b"\n".join((redact.columns(call), content)), plan.rules):
        call = redact.redact(call, plan.rules)
        content = to_json(call)
    return call, content


def apply(call: Call, mode: Capture, salt: bytes = b"") -> Call:
    """Return the call with its content as ``mode`` asks. Numbers, names and checksums stay.

    ``full`` and ``redacted`` change nothing here: what they take out, collector/redact.py does.
    """
    if mode in (Capture.FULL, Capture.REDACTED):
        return call
    # Of its project alone: that two projects were told the same is nobody's business.
    keyed = partial(_digest, salt=salt + b"/" + call.project.encode())
    digest: Digest = keyed if mode == Capture.HASH else _nothing
    attributes = {**call.attributes}
    beside = attributes.pop(_BESIDE, None)
    less = _without_content(attributes, digest)
    if beside is not None:
        less[_BESIDE] = _beside(beside, digest)
    return replace(
        call,
        input=_messages(call.input, digest),
        output=_messages(call.output, digest),
        attributes={**less, NOTE: str(mode)},
    )


def _nothing(value: Any) -> None:
    return None


def _digest(value: Any, *, salt: bytes) -> str:
    """Return what tells equal content from other, and its length in characters.

    Keyed: without the salt nobody can try which text it was.
    """
    text = value if isinstance(value, str) else _canonical(value)
    hexed = hmac.new(salt, text.encode(errors="replace"), hashlib.sha256).hexdigest()[:32]
    return f"[sha256 {hexed}, {len(text)} characters]"


def _canonical(value: Any) -> str:
    option = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, default=str, option=option).decode()


def _messages(value: Any, digest: Digest) -> Any:
    """Return a digest for each message beside its role; None where none is to be kept."""
    if value is None or digest is _nothing:
        return None
    if not isinstance(value, list | tuple):
        return digest(value)
    return [_message(item, digest) for item in value]


def _message(item: Any, digest: Digest) -> Any:
    if not isinstance(item, Mapping):
        return digest(item)
    role, rest = item.get("role"), {name: item[name] for name in item if name != "role"}
    content = item.get("content") if rest.keys() == {"content"} else rest
    return {"role": role if role in _ROLES else "unknown", "content": digest(content)}


def _without_content(attributes: Mapping[str, Any], digest: Digest) -> dict[str, Any]:
    return {
        name: said
        for name, value in attributes.items()
        if (said := value if _is_plain(name, value) else digest(value)) is not None
    }


def _is_plain(name: str, value: Any) -> bool:
    """Return whether a value is no content: a number, or short text under a name we know."""
    if value is None or isinstance(value, bool | int | float):
        return True
    if name not in _PLAIN and not name.startswith(_PLAIN_STARTS):
        return False
    if isinstance(value, list | tuple):
        return len(value) <= _MANY and all(_is_short(item) for item in value)
    return _is_short(value)


def _is_short(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _SHORT
    return value is None or isinstance(value, bool | int | float)


def _beside(beside: Any, digest: Digest) -> Any:
    """Return what came with a span and is no attribute of it, without content.

    An event's attributes and a status message are: errors quote what they could not read.
    """
    if not isinstance(beside, Mapping):
        return digest(beside)
    less = dict(beside)
    if isinstance(events := beside.get("events"), list | tuple):
        less["events"] = [_event(event, digest) for event in events]
    if isinstance(status := beside.get("status"), Mapping):
        less["status"] = {"code": status.get("code"), "message": _said(status, "message", digest)}
    if isinstance(resource := beside.get("resource"), Mapping):
        less["resource"] = {k: v for k, v in resource.items() if not k.startswith(_COMMAND)}
    return less


def _event(event: Any, digest: Digest) -> Any:
    if not isinstance(event, Mapping):
        return digest(event)
    return {**event, "attributes": _without_content(event.get("attributes") or {}, digest)}


def _said(mapping: Mapping[str, Any], name: str, digest: Digest) -> Any:
    return digest(mapping[name]) if mapping.get(name) else None
