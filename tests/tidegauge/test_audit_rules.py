from __future__ import annotations

from collector.dialects.tokens import RULES
from tidegauge.audit_rules import AUDIT_RULES


def test_every_rule_of_the_audit_is_explained() -> None:
    assert AUDIT_RULES.keys() == RULES


def test_a_rule_says_what_it_means_and_what_to_change_in_whole_sentences() -> None:
    for rule in AUDIT_RULES.values():
        assert rule.meaning.endswith(".")
        assert rule.fix.endswith(".")


def test_a_stream_without_usage_is_told_to_ask_for_it() -> None:
    assert "include_usage" in AUDIT_RULES["stream_without_usage"].fix
