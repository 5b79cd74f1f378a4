"""The tables, with units and keep-by times.

Every big table carries project (and trace_id where it has one) in its primary key, has no serial
keys and no foreign keys, so that a distributed PostgreSQL can spread it (docs/decisions/0003).
Times are integers: ``_ns`` and ``_s`` since 1970, UTC.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    and_,
)

from tidegauge.bucket import Measure
from tidegauge.call import MAX_USD

metadata = MetaData()

_NANO = Decimal(10) ** 9


class NanoUsd(TypeDecorator[Decimal]):
    """US dollars, kept as whole billionths: SQLite has no decimal type, and a float would drift."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """Return what is stored."""
        if value is None or abs(value) > MAX_USD:
            return None
        return int((value * _NANO).to_integral_value())

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        """Return what was stored, in dollars."""
        return None if value is None else Decimal(value) / _NANO


span = Table(
    "span",
    metadata,
    Column("project", Text, primary_key=True),
    Column("trace_id", LargeBinary, primary_key=True),  # 16 bytes
    Column("span_id", LargeBinary, primary_key=True),  # 8 bytes
    Column("parent_span_id", LargeBinary),
    Column("name", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("clock_invalid", Boolean, nullable=False),
    Column("not_counted", Text),  # NULL: a call; else why it is none
    Column("received_s", BigInteger, nullable=False),
    Column("service", Text, nullable=False),
    Column("service_version", Text),
    Column("environment", Text, nullable=False),
    Column("use_case", Text, nullable=False),
    Column("model", Text, nullable=False),  # what series are named by: Call.model
    Column("user_id", Text),
    Column("session_id", Text),
    Column("dialect", Text, nullable=False),
    Column("operation", Text),
    Column("provider", Text),
    Column("request_model", Text),
    Column("response_model", Text),
    Column("response_id", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cached_input_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("tokens_audit", Text),
    Column("tokens_audit_rule", Text),
    Column("streaming", Boolean),
    Column("time_to_first_token_s", Float),
    Column("time_per_output_token_s", Float),
    Column("finish_reasons", Text, nullable=False),  # joined by commas
    Column("truncated", Boolean),
    Column("truncation_evidence", Text),
    Column("error_type", Text),
    Column("status_code", Integer),
    Column("temperature", Float),
    Column("top_p", Float),
    Column("max_tokens", BigInteger),
    Column("output_type", Text),
    Column("output_valid", Boolean),
    Column("repetition", Float),
    Column("prompt_name", Text),
    Column("prompt_version", Text),
    Column("prompt_checksum", Text),
    Column("input_checksum", Text),
    Column("cost_usd", NanoUsd),
    Column("app_cost_usd", NanoUsd),
    Column("kind", Integer),
    Column("library", Text),
    Column("library_version", Text),
    Column("use_case_from", Text),
    Column("duplicate_of", LargeBinary),  # 24 bytes: trace and span of the record that counts
    Column("attempts", Integer),
    Column("service_tier", Text),
    Column("output_kind", Text),
    Column("output_script", Text),
    # Where the content stands: bytes of JSON in a block. NULL: there is none, or no longer.
    Column("block_id", BigInteger),
    Column("block_offset", Integer),
    Column("block_size", Integer),
)
# For store/spans.py window(), calls() and the Requests page: always one project, by time.
Index("span_started", span.c.project, span.c.started_ns)
# For store/spans.py last_received(). Spans come in its order, so each is added at its end.
Index("span_received", span.c.project, span.c.received_s)

# For store/traces.py: the same answer, told by spans of two traces. Spans below another one find
# each other by their trace, so these are few.
Index(
    "span_answer",
    span.c.project,
    span.c.response_id,
    span.c.started_ns,
    sqlite_where=and_(span.c.parent_span_id.is_(None), span.c.response_id.is_not(None)),
    postgresql_where=and_(span.c.parent_span_id.is_(None), span.c.response_id.is_not(None)),
)
# For store/traces.py: the same failure, likewise; it has no answer to know it by.
Index(
    "span_failure",
    span.c.project,
    span.c.started_ns,
    sqlite_where=and_(span.c.parent_span_id.is_(None), span.c.error_type.is_not(None)),
    postgresql_where=and_(span.c.parent_span_id.is_(None), span.c.error_type.is_not(None)),
)

# What a span said of itself, where the other spans of its call have changed its row: by column.
# Whatever comes later of its trace is settled from this, not from what was settled before.
span_said = Table(
    "span_said",
    metadata,
    Column("project", Text, primary_key=True),
    Column("trace_id", LargeBinary, primary_key=True),
    Column("span_id", LargeBinary, primary_key=True),
    Column("received_s", BigInteger, nullable=False),  # of the span, for retention
    Column("said", Text, nullable=False),  # JSON: column: its value before
)
# For store/retention.py.
Index("span_said_age", span_said.c.project, span_said.c.received_s)

# A trace that has more spans than when it was last put together. One row per writing transaction
# and trace, only ever inserted and deleted: writers never wait for each other here.
unsettled_trace = Table(
    "unsettled_trace",
    metadata,
    Column("project", Text, primary_key=True),
    Column("trace_id", LargeBinary, primary_key=True),
    Column("mark", LargeBinary, primary_key=True),  # 8 bytes, unique per transaction
)

# Prompts, outputs and all other attributes, apart from the row that statistics read. Many calls
# share a block: compressed together they take half, and a block is one row to write and to delete.
content_block = Table(
    "content_block",
    metadata,
    Column("project", Text, primary_key=True),
    Column("block_id", BigInteger, primary_key=True, autoincrement=False),  # random
    Column("received_s", BigInteger, nullable=False),  # for retention
    Column("packed", LargeBinary, nullable=False),  # zstd of JSON objects, one after the other
)
# For store/retention.py: the oldest blocks of a project.
Index("content_block_age", content_block.c.project, content_block.c.received_s)

# A minute whose rollups no longer tell the truth. One row per writing transaction and minute: a
# row is only ever inserted and deleted, so writers never wait for each other here.
stale_minute = Table(
    "stale_minute",
    metadata,
    Column("project", Text, primary_key=True),
    Column("minute_s", BigInteger, primary_key=True),
    Column("mark", Text, primary_key=True),  # unique per transaction
)

# A system prompt that the calls of one service and use case carried, by its checksum; forgotten a
# few days after its last use. Of its words there are hashes, kept no longer than the content.
prompt_variant = Table(
    "prompt_variant",
    metadata,
    Column("project", Text, primary_key=True),
    Column("group_id", BigInteger, primary_key=True, autoincrement=False),  # service, use case
    Column("checksum", Text, primary_key=True),  # as the collector made it
    Column("first_s", BigInteger, nullable=False),
    Column("last_s", BigInteger, nullable=False),
    Column("trace_id", LargeBinary, nullable=False),  # of one call that carried it
    Column("span_id", LargeBinary, nullable=False),
    Column("tokens", LargeBinary),  # NULL: not read yet; empty: it cannot be read
    Column("identity", Text),  # the checksum of the template that it is one filling of
    Column("is_fresh", Boolean, nullable=False),  # used since its group was last compared
    Column("todo_s", BigInteger),  # its calls from here on still have its own checksum
)
# For store/prompts.py fresh_groups(), to_rename() and forget().
Index(
    "prompt_variant_fresh",
    prompt_variant.c.project,
    prompt_variant.c.group_id,
    sqlite_where=prompt_variant.c.is_fresh.is_(True),
    postgresql_where=prompt_variant.c.is_fresh.is_(True),
)
Index(
    "prompt_variant_todo",
    prompt_variant.c.project,
    sqlite_where=prompt_variant.c.todo_s.is_not(None),
    postgresql_where=prompt_variant.c.todo_s.is_not(None),
)
Index("prompt_variant_age", prompt_variant.c.project, prompt_variant.c.last_s)

# What several variants have in common: hashes of words, and 0 where each has its own.
prompt_template = Table(
    "prompt_template",
    metadata,
    Column("project", Text, primary_key=True),
    Column("group_id", BigInteger, primary_key=True, autoincrement=False),
    Column("identity", Text, primary_key=True),  # of its first form: it keeps its name
    Column("tokens", LargeBinary, nullable=False),
    Column("last_s", BigInteger, nullable=False),  # when a filling was last found
)

# Log records that tell more of a span, until they are joined to it; evaluations for longer.
log_event = Table(
    "log_event",
    metadata,
    Column("project", Text, primary_key=True),
    Column("trace_id", LargeBinary, primary_key=True),  # empty: of no span
    Column("span_id", LargeBinary, primary_key=True),
    Column("event_id", LargeBinary, primary_key=True),  # a hash: the same record is one row
    Column("name", Text, nullable=False),
    Column("time_ns", BigInteger, nullable=False),
    Column("received_s", BigInteger, nullable=False),
    Column("due_s", BigInteger),  # look for its span then; NULL: joined, or nothing to join
    Column("packed", LargeBinary, nullable=False),  # zstd of JSON: attributes, body
)
# For store/events.py due().
Index(
    "log_event_due",
    log_event.c.due_s,
    sqlite_where=log_event.c.due_s.is_not(None),
    postgresql_where=log_event.c.due_s.is_not(None),
)
# For store/events.py prune().
Index("log_event_age", log_event.c.received_s)
# For store/retention.py: the oldest events of a project.
Index("log_event_kept", log_event.c.project, log_event.c.received_s)

# How calls, traces and sessions were judged. No content: why it was judged so stands in the log
# event, or among the attributes of the span.
score = Table(
    "score",
    metadata,
    Column("project", Text, primary_key=True),
    Column("trace_id", LargeBinary, primary_key=True),  # empty: of a session or a response
    Column("span_id", LargeBinary, primary_key=True),  # empty: of the whole trace, or as above
    Column("score_id", LargeBinary, primary_key=True),  # a hash: the same judgement is one row
    Column("session_id", Text),  # of the session that was judged, only there
    Column("response_id", Text),  # of the call that was judged; it may come later than its score
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),  # event, annotation
    Column("annotator", Text),
    Column("value", Float),
    Column("label", Text),
    Column("error_type", Text),  # why it could not be judged
    Column("at_s", BigInteger, nullable=False),
    Column("received_s", BigInteger, nullable=False),
)
# For store/scores.py of_calls().
Index(
    "score_answer",
    score.c.project,
    score.c.response_id,
    sqlite_where=score.c.response_id.is_not(None),
    postgresql_where=score.c.response_id.is_not(None),
)
# For store/scores.py of_around().
Index(
    "score_session",
    score.c.project,
    score.c.session_id,
    sqlite_where=score.c.session_id.is_not(None),
    postgresql_where=score.c.session_id.is_not(None),
)
# For store/retention.py.
Index("score_age", score.c.project, score.c.received_s)

# What an application's own metrics say of its tokens: a row per stream, start and hour. A stream
# counts on from its start, so the newest point of an hour says all; a second one changes nothing.
token_point = Table(
    "token_point",
    metadata,
    Column("project", Text, primary_key=True),
    Column("stream", LargeBinary, primary_key=True),  # hash of resource, scope, metric, attributes
    Column("began_ns", BigInteger, primary_key=True, autoincrement=False),  # another: a reset
    Column("hour_s", BigInteger, primary_key=True, autoincrement=False),
    Column("instance", LargeBinary, nullable=False),  # hash of the resource
    Column("first_ns", BigInteger, nullable=False),
    Column("first_tokens", BigInteger, nullable=False),  # since began_ns, at first_ns
    Column("last_ns", BigInteger, nullable=False),
    Column("last_tokens", BigInteger, nullable=False),
    Column("service", Text, nullable=False),
    Column("request_model", Text),
    Column("response_model", Text),
    Column("type", Text, nullable=False),  # input, output
    Column("metric", Text, nullable=False),
)
# For store/token_metrics.py: the hours of a project.
Index("token_point_hour", token_point.c.project, token_point.c.hour_s)

# The names behind a series_id (a hash of them, so that no counter is needed).
series = Table(
    "series",
    metadata,
    Column("project", Text, primary_key=True),
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("use_case", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("first_seen_s", BigInteger, nullable=False),
)

rollup = Table(
    "rollup",
    metadata,
    Column("project", Text, primary_key=True),
    Column("step_s", Integer, primary_key=True, autoincrement=False),  # 60 or 3600
    Column("start_s", BigInteger, primary_key=True, autoincrement=False),
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("calls", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("truncated", BigInteger, nullable=False),
    Column("truncation_known", BigInteger, nullable=False),
    Column("cost_usd", Float, nullable=False),
    Column("cost_known", BigInteger, nullable=False),
    *(
        column
        for measure in Measure
        for column in (
            Column(f"{measure}_n", BigInteger, nullable=False),
            Column(f"{measure}_total", Float, nullable=False),
            Column(f"{measure}_log_n", BigInteger, nullable=False),
            Column(f"{measure}_log_sum", Float, nullable=False),
            Column(f"{measure}_log_square_sum", Float, nullable=False),
            Column(f"{measure}_histogram", LargeBinary, nullable=False),  # Histogram.pack()
        )
    ),
    Column("lengths", LargeBinary, nullable=False),  # JSON: [[class, n, log, log2, tokens], ...]
)

# What was learned per series and signal; the dashboard draws its band from it.
normal = Table(
    "normal",
    metadata,
    Column("project", Text, primary_key=True),
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("signal", Text, primary_key=True),
    Column("learned_s", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("hours", Integer, nullable=False),
    Column("log_scale", Boolean, nullable=False),
    Column("profile", Text, nullable=False),  # JSON: 48 numbers
    Column("wander_sd", Float, nullable=False),
    Column("state", Text, nullable=False),  # JSON: what else the detector learned
)

# The newest answer of every detector, one row per series, signal and window length.
finding = Table(
    "finding",
    metadata,
    Column("project", Text, primary_key=True),
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("signal", Text, primary_key=True),
    Column("window_s", Integer, primary_key=True, autoincrement=False),
    Column("verdict", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("since_s", BigInteger, nullable=False),
    Column("until_s", BigInteger, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("now", Float),
    Column("usual", Float),
    Column("usual_low", Float),
    Column("usual_high", Float),
    Column("now_low", Float),
    Column("now_high", Float),
    Column("strength", Float, nullable=False),
)

# Every change seen in traffic: the marks on the charts, and the suspects when something moves.
change = Table(
    "change",
    metadata,
    Column("project", Text, primary_key=True),
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("field", Text, primary_key=True),
    Column("at_s", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("before", Text),
    Column("after", Text, nullable=False),
    Column("silent", Boolean, nullable=False),
    Column("found_s", BigInteger, nullable=False),  # the minute that showed it
)

# What each minute of an hour carried of the watched fields, and how far the search for changes has
# got at its end; kept for eight days. A value's text stands in no key: it may be long.
watched_hour = Table(
    "watched_hour",
    metadata,
    Column("project", Text, primary_key=True),
    Column("hour_s", BigInteger, primary_key=True, autoincrement=False),
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("packed", LargeBinary, nullable=False),  # zstd of JSON: analysis/changes.py Hour
)

alert = Table(
    "alert",
    metadata,
    Column("alert_id", Text, primary_key=True),  # A-<12 hex>
    Column("project", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),  # rule, service, environment, use case, model
    Column("series_id", BigInteger, nullable=False),
    Column("signal", Text, nullable=False),  # a signal's name, or prompt
    Column("members", Text, nullable=False),  # JSON: [{"signal", "series"}, ...]; the leader first
    Column("state", Text, nullable=False),  # firing, acknowledged, resolved
    Column("severity", Text, nullable=False),  # critical, error, warning, info
    Column("opened_s", BigInteger, nullable=False),
    Column("starts_s", BigInteger, nullable=False),  # when the number left its range
    Column("updated_s", BigInteger, nullable=False),
    Column("ends_s", BigInteger),
    Column("sequence", Integer, nullable=False),  # rises with every message
    Column("calm_since_s", BigInteger),  # first usual window in a row, while it still fires
    Column("title", Text, nullable=False),
    Column(
        "body", Text, nullable=False
    ),  # JSON: impact, likely_cause, first_action, evidence, links
    Column("acknowledged_by", Text),
)
# For store/alerts.py open_alerts(): the open alert of a fingerprint; there is at most one.
Index(
    "alert_open",
    alert.c.fingerprint,
    unique=True,
    sqlite_where=alert.c.state != "resolved",
    postgresql_where=alert.c.state != "resolved",
)
# For store/alerts.py next_sequence() and list_alerts().
Index("alert_fingerprint", alert.c.fingerprint)
Index("alert_opened", alert.c.opened_s)

# A signal that has moved, but not yet often enough in a row to open an alert.
pending = Table(
    "pending",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("since_s", BigInteger, nullable=False),  # start of the first window that moved
    Column("counted_s", BigInteger, nullable=False),  # end of the last window that counted
    Column("windows", Integer, nullable=False),  # how many in a row have moved
)

alert_event = Table(
    "alert_event",
    metadata,
    Column("alert_id", Text, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at_s", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # firing, updated, acknowledged, resolved
    Column("by", Text),
    Column("text", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("message_id", Text, primary_key=True),  # the webhook-id, the same on every attempt
    Column("endpoint", Text, nullable=False),
    Column("alert_id", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("kind", Text, nullable=False),  # alert.firing, alert.resolved, ...
    Column("body", Text, nullable=False),  # JSON: the notice; its receiver gives it its form
    Column("created_s", BigInteger, nullable=False),
    Column("due_s", BigInteger, nullable=False),
    Column("leased_until_s", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("unanswered", Integer, nullable=False),  # attempts the receiver may have taken in
    Column("state", Text, nullable=False),  # waiting, sent, superseded, dead
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("last_answer", Text),  # at most 2 kB; NULL where the address is in a private network
    Column("done_s", BigInteger),
)
# For store/outbox.py claim(): only waiting messages are looked up by due time.
Index("outbox_due", outbox.c.state, outbox.c.due_s)
# For store/outbox.py deliveries() and collapse(): the messages of one alert.
Index("outbox_alert", outbox.c.alert_id)

# A place messages go to. Its address is a secret and stays in the settings.
endpoint = Table(
    "endpoint",
    metadata,
    Column("name", Text, primary_key=True),
    Column("address_hash", Text, nullable=False),  # a new address starts with a clean slate
    Column("state", Text, nullable=False),  # working, attention, disabled
    Column("failures", Integer, nullable=False),  # in a row
    Column("failing_since_s", BigInteger),
    Column("not_before_s", BigInteger, nullable=False),  # no attempt before this time
    Column("last_ok_s", BigInteger),
)

review_item = Table(
    "review_item",
    metadata,
    Column("item_id", Text, primary_key=True),  # hash of (project, trace_id, span_id, reason)
    Column("project", Text, nullable=False),
    Column("trace_id", Text, nullable=False),  # hex
    Column("span_id", Text, nullable=False),
    Column("reason", Text, nullable=False),  # truncated, error, extreme_length, random
    Column("evidence", Text, nullable=False),  # one sentence, no content
    Column("probability", Float),  # with which it was drawn; NULL where every such call is flagged
    Column("priority", Float, nullable=False),
    Column("service", Text, nullable=False),
    Column("created_s", BigInteger, nullable=False),
    Column("call_started_s", BigInteger, nullable=False),
    Column("status", Text, nullable=False),  # pending, done
    Column("lease_by", Text),
    Column("lease_until_s", BigInteger),
    Column("skipped_s", BigInteger),
)
# For store/reviews.py claim(): the best pending item.
Index("review_item_next", review_item.c.status, review_item.c.priority)

review_label = Table(
    "review_label",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("reviewer", Text, primary_key=True),
    Column("verdict", Text, nullable=False),  # real_problem, false_alarm, unsure
    Column("note", Text, nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("undone_s", BigInteger),
)

# Append-only: who did what to which item; an undo is an event too.
review_event = Table(
    "review_event",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("item_id", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # claimed, labelled, undone, skipped
    Column("verdict", Text),
)

job_run = Table(
    "job_run",
    metadata,
    Column("job", Text, primary_key=True),
    Column("started_s", Float, primary_key=True),
    Column("finished_s", Float),
    Column("outcome", Text),  # ok, failed; NULL while it runs
    Column("looked_at", BigInteger),  # how much it read: calls, series, messages
    Column("error", Text),
)

# How far a job has got; moved in the transaction that wrote its results.
watermark = Table(
    "watermark",
    metadata,
    Column("job", Text, primary_key=True),
    Column("at_s", BigInteger, nullable=False),
)

# Who may run the jobs. `token` rises at every change of hands; a job's writes carry it.
lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("until_s", Float, nullable=False),
)

# Who may send or read. Of a secret only its SHA-256 is kept. Keys are few: no index but the id's.
api_key = Table(
    "api_key",
    metadata,
    Column("key_id", Text, primary_key=True),  # random
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),  # ingest, read, admin
    Column("secret_hash", LargeBinary, nullable=False),
    Column("created_s", BigInteger, nullable=False),
    Column("expires_s", BigInteger),  # NULL: never
    Column("revoked_s", BigInteger),
    Column("last_used_s", BigInteger),  # written at most once a minute
    Column("spans_per_s", BigInteger),  # NULL: no limit
    Column("bytes_per_s", BigInteger),
)

# Who sends: one row per project, key, service and SDK, at most store/ledger.py MOST_SOURCES each.
ingest_source = Table(
    "ingest_source",
    metadata,
    Column("project", Text, primary_key=True),
    Column("source_id", BigInteger, primary_key=True, autoincrement=False),  # a hash of the names
    Column("key_id", Text, nullable=False),  # empty: without a key
    Column("service", Text, nullable=False),  # empty: refused before it was read
    Column("sdk", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("first_seen_s", BigInteger, nullable=False),
    Column("last_seen_s", BigInteger, nullable=False),
)

# What the collectors took in, by hour; written in the transaction of the spans it counts.
ingest_count = Table(
    "ingest_count",
    metadata,
    Column("project", Text, primary_key=True),
    Column("hour_s", BigInteger, primary_key=True, autoincrement=False),
    Column("source_id", BigInteger, primary_key=True, autoincrement=False),
    Column("outcome", Text, primary_key=True),  # the words of store/ledger.py
    Column("count", BigInteger, nullable=False),
)
