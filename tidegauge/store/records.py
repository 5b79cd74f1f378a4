"""Rows of spans as records: what others tell of their calls is filled in, and what they said is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from sqlalchemy import Row, bindparam, select, tuple_, update

from tidegauge.call import Call
from tidegauge.member import Key, Place
from tidegauge.settle import Cost, settled
from tidegauge.store import said
from tidegauge.store.contents import pack, to_json
from tidegauge.store.engine import Connection
from tidegauge.store.rows import VALUES, call_of
from tidegauge.store.said import SPAN, Said
from tidegauge.store.schema import content_block, span
from tidegauge.store.spans import batched, mark_stale, with_content

_KEYS_ASKED = 500  # in one statement
_NANO = Decimal("1e-9")
_DAY_S = 86_400
PLACE = ("block_id", "block_offset", "block_size")
_KEPT = ("project", "trace_id", "span_id", "parent_span_id", "started_ns", "duration_s", "name")
CHANGED = tuple(name for name in VALUES if name not in _KEPT)  # columns that others may fill


def rewrite(
    db: Connection,
    project: str,
    told: Mapping[Key, Said],
    due: Mapping[Key, Place],
    cost: Cost,
) -> None:
    """Write what the rows of ``due`` should hold, and keep what their spans said.

    ``told``: what each span said, where its row says something else now.
    """
    wanted = {key for key, place in due.items() for key in (key, *place.fills_from)}
    rows = _full_rows(db, project, wanted)
    plain = {key: said.row_of(row, told[key]) for key, row in rows.items()}
    calls = {key: call_of(row, {}) for key, row in plain.items()}
    lacking = [key for key, place in due.items() if _lacks_content(calls, key, place)]
    if lacking:
        filling = sorted({key for one in lacking for key in (one, *due[one].fills_from)})
        kept = [plain[key] for key in filling]
        calls |= dict(zip(filling, with_content(db, kept), strict=True))
    changed: list[Call] = []
    for key, place in due.items():
        whole = settled(calls[key], place, calls, cost)
        if _columns_of(whole) != {name: _value(rows[key], name) for name in CHANGED}:
            changed.append(whole)
    _write(db, rows, plain, changed, set(lacking))


def _lacks_content(calls: Mapping[Key, Call], key: Key, place: Place) -> bool:
    """Return whether another span of the call holds messages that its own does not."""
    mine, others = calls[key], [calls[other] for other in place.fills_from]
    asked = mine.input_checksum is None and any(one.input_checksum for one in others)
    return asked or (mine.output_kind is None and any(one.output_kind for one in others))


def _full_rows(db: Connection, project: str, keys: Collection[Key]) -> dict[Key, Row[Any]]:
    wanted = [(project, bytes.fromhex(trace), bytes.fromhex(one)) for trace, one in sorted(keys)]
    found = (
        row
        for some in batched(wanted, _KEYS_ASKED)
        for row in db.execute(select(span).where(tuple_(*SPAN).in_(some)))
    )
    return {(row.trace_id.hex(), row.span_id.hex()): row for row in found}


def _columns_of(call: Call) -> dict[str, Any]:
    """Return the values of CHANGED of a call."""
    return {name: _value(call, name) for name in CHANGED}


def _value(of: Any, name: str) -> Any:
    """Return a column's value, of a row or of a call."""
    value = getattr(of, name)
    if isinstance(value, Decimal):  # as the column holds it: else nothing would ever be the same
        return value.quantize(_NANO)
    if name == "finish_reasons" and not isinstance(value, str):
        return ",".join(value)
    if name == "duplicate_of" and isinstance(value, str):
        return bytes.fromhex(value)
    return value.value if hasattr(value, "value") else value


def _write(
    db: Connection,
    rows: Mapping[Key, Row[Any]],
    plain: Mapping[Key, Any],
    changed: Sequence[Call],
    filled: Collection[Key],
) -> None:
    if not changed:
        return
    places_of = _store_contents(db, [one for one in changed if _key(one) in filled], rows)
    updates: list[dict[str, Any]] = []
    sayings: list[tuple[Row[Any], Said]] = []
    for call in changed:
        key = _key(call)
        new = _columns_of(call)
        # Back to its own content where nothing is filled in any more.
        new |= places_of.get(key) or {name: getattr(plain[key], name) for name in PLACE}
        named = {f"of_{name}": getattr(rows[key], name) for name in _KEPT[:3]}
        updates.append(new | named)
        old = {name: _value(plain[key], name) for name, value in new.items()}
        was = {name: value for name, value in old.items() if value != new[name]}
        if was:
            sayings.append((rows[key], was))
    same = [column == bindparam(f"of_{column.name}") for column in SPAN]
    db.execute(update(span).where(*same), updates)
    said.keep(db, [rows[_key(call)] for call in changed], sayings)
    counted = [call for call in changed if not call.clock_invalid]
    mark_stale(db, [(call.project, rows[_key(call)].started_ns) for call in counted])


def _store_contents(
    db: Connection, calls: Sequence[Call], rows: Mapping[Key, Row[Any]]
) -> dict[Key, dict[str, Any]]:
    """Store the content of calls anew, and return where each stands.

    Calls of one day share blocks, which are as old as they are: content that is filled in late must
    be kept no longer, and that of a new call no shorter.
    """
    found: dict[Key, dict[str, Any]] = {}
    by_day = sorted(calls, key=lambda call: rows[_key(call)].received_s)
    for _, group in groupby(by_day, key=lambda call: rows[_key(call)].received_s // _DAY_S):
        some = list(group)
        found |= _store_blocks(db, some, rows[_key(some[0])].received_s)
    return found


def _store_blocks(
    db: Connection, calls: Sequence[Call], received_s: int
) -> dict[Key, dict[str, Any]]:
    blocks, found = pack([to_json(call) for call in calls], [call.project for call in calls])
    db.execute(
        content_block.insert(),
        [
            {
                "project": calls[block.members[0]].project,
                "block_id": block.block_id,
                "received_s": received_s,
                "packed": block.packed,
            }
            for block in blocks
        ],
    )
    return {
        _key(call): dict(zip(PLACE, (at.block_id, at.offset, at.size), strict=True))
        for call, at in zip(calls, found, strict=True)
    }


def _key(call: Call) -> Key:
    return call.trace_id, call.span_id
