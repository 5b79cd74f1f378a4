from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects.output_schema import SCHEMA_BYTES, fits_schema

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["city", "population"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["value"],
        }
    },
    "$ref": "#/$defs/Node",
}
PARIS = {"city": "Paris", "population": 2_100_000}


@pytest.mark.parametrize(
    "schema",
    [
        CITY,
        json.dumps(CITY),
        {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITY}},
        {"type": "json_schema", "name": "city", "schema": CITY},
    ],
)
def test_a_schema_is_found_in_whatever_it_came_in(schema: Any) -> None:
    assert fits_schema(schema, PARIS, 40) is True
    assert fits_schema(schema, {"city": "Paris"}, 40) is False


def test_references_within_a_schema_are_followed() -> None:
    assert fits_schema(TREE, {"value": 1, "kids": [{"value": 2, "kids": []}]}, 40) is True
    assert fits_schema(TREE, {"value": 1, "kids": [{"value": "2"}]}, 40) is False


def doubling(times: int) -> dict[str, Any]:
    """Return a schema that stands for ``10 ** times`` others."""
    levels: dict[str, Any] = {
        f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 10} for level in range(times)
    }
    return {"$defs": {**levels, f"d{times}": {"not": {}}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema"},
        {"$ref": "file:///etc/passwd"},
        {"$schema": "http://127.0.0.1:9/schema", "type": "object"},
        {"$id": "http://127.0.0.1:9/", "$ref": "other"},
        {"$dynamicRef": "#x"},
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        doubling(30),
        {"type": "nonsense"},
        {"pattern": "(a{1000}){1000}"},
        {"pattern": "(?=a)("},
        {"patternProperties": {f"(a|b){{{n}}}": {} for n in range(900)}},
        {"enum": ["x" * SCHEMA_BYTES]},
        '{"items":' * 900 + "{}" + "}" * 900,
        "no JSON",
        "[]",
        7,
        None,
    ],
)
def test_a_schema_that_cannot_be_used_says_nothing_at_once(schema: Any) -> None:
    before = time.thread_time()

    assert fits_schema(schema, PARIS, 40) is None
    assert time.thread_time() - before < 0.5


def test_neither_patterns_nor_deep_answers_take_long() -> None:
    deep: Any = {}
    for _ in range(30):
        deep = {"l": deep}
    branches = {"properties": {"l": {"$ref": "#/$defs/A"}}, "required": ["z"]}
    before = time.thread_time()

    assert fits_schema({"pattern": "^(a+)+$"}, "a" * 50_000 + "!", 50_001) is False
    union = {"$defs": {"A": {"anyOf": [branches] * 8}}, "$ref": "#/$defs/A"}
    assert fits_schema(union, deep, 200) is None
    assert (
        fits_schema({"allOf": [{"items": {"type": "null"}}] * 900}, [1] * 50_000, 100_000) is None
    )
    assert time.thread_time() - before < 0.5


KEYWORDS = (
    "type properties items anyOf allOf not if then $ref $defs required enum const pattern minimum "
    "patternProperties additionalProperties prefixItems contains uniqueItems dependentSchemas "
    "unevaluatedProperties propertyNames format multipleOf $schema __proto__"
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["#", "object", "("]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYWORDS.split()), inner, max_size=4)
    ),
)


@given(schema=VALUES, value=VALUES)
def test_no_schema_raises(schema: Any, value: Any) -> None:
    assert fits_schema(schema, value, 100) in (True, False, None)


@pytest.mark.parametrize("answer", [1, "x", None, [1], {"a": 1}])
def test_references_that_double_at_one_level_are_not_followed(answer: Any) -> None:
    doubling = {
        f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}, {"$ref": f"#/$defs/a{n + 1}"}]}
        for n in range(40)
    }
    schema = {"$ref": "#/$defs/a0", "$defs": doubling | {"a40": {"type": "integer"}}}

    assert fits_schema(schema, answer, 1) is None
