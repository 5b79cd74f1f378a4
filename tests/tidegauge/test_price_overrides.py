"""The operator's own prices: read from TOML, checked key by key, asked by name and day."""

from __future__ import annotations

import pickle
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tidegauge.policy import BadPolicy, Policy, read_policy
from tidegauge.price_overrides import KEYS, BadPrice, OwnPrices, prices_of

MAY = datetime(2026, 5, 1, tzinfo=UTC)
DATED = """
[["my-model"]]
input_usd_per_mtok = 1
[["my-model"]]
from = 2026-05-01
input_usd_per_mtok = 2
[["my-*"]]
input_usd_per_mtok = 3
[["my-m*"]]
input_usd_per_mtok = 4
[["late"]]
from = 2026-05-01
input_usd_per_mtok = 5
"""


def paid(*models: str | None, at: datetime = MAY) -> tuple[str, int] | None:
    found = OwnPrices(prices_of(tomllib.loads(DATED))).of(models, at)
    return found and (found[0], int(found[1].input_usd_per_mtok))


@pytest.mark.parametrize(
    ("models", "price"),
    [
        (("my-model",), ("my-model", 2)),
        (("MY-Model",), ("my-model", 2)),
        (("my-mode",), ("my-m*", 4)),
        (("my-own",), ("my-*", 3)),
        ((None, "my-own"), ("my-*", 3)),
        (("other", "my-own"), ("my-*", 3)),
        (("late",), ("late", 5)),
        (("other", None), None),
    ],
)
def test_the_nearest_name_decides(
    models: tuple[str | None, ...], price: tuple[str, int] | None
) -> None:
    assert paid(*models) == price


def test_the_price_is_the_one_of_the_day() -> None:
    before = MAY.replace(month=4, day=30, hour=23, minute=59)

    assert paid("my-model", at=before) == ("my-model", 1)
    assert paid("late", at=before) is None


def test_numbers_are_kept_as_they_are_written() -> None:
    [price] = prices_of({"m": {"input_usd_per_mtok": 0.1, "batch_share": 0.5}})["m"]

    assert (price.input_usd_per_mtok, price.batch_share) == (Decimal("0.1"), Decimal("0.5"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"m" = 5', "must be a table"),
        ("[m]\ninput_usd = 5", r"unknown key 'input_usd'; known are batch_share, .*from"),
        ("[m]\noutput_usd_per_mtok = 5", "'input_usd_per_mtok' is missing"),
        ("[m]\ninput_usd_per_mtok = -1", "must be US dollars per million tokens, 0 to"),
        ("[m]\ninput_usd_per_mtok = 1e6", "must be US dollars per million tokens, 0 to"),
        ("[m]\ninput_usd_per_mtok = nan", "must be US dollars per million tokens, 0 to"),
        ("[m]\ninput_usd_per_mtok = true", "must be US dollars per million tokens, 0 to"),
        ('[m]\ninput_usd_per_mtok = "5"', "must be US dollars per million tokens, 0 to"),
        ("[m]\ninput_usd_per_mtok = 5\nbatch_share = 2", "must be a share, 0 to 1"),
        ('[m]\ninput_usd_per_mtok = 5\nfrom = "2026-01-01"', "a day without quotes"),
        ("[m]\ninput_usd_per_mtok = 5\nfrom = 2026-01-01T10:00:00Z", "a day without quotes"),
        ("[[m]]\ninput_usd_per_mtok = 5\n[[m]]\ninput_usd_per_mtok = 6", "on the same day"),
        ("[m]\ninput_usd_per_mtok = 5\n[M]\ninput_usd_per_mtok = 6", "stands there twice"),
        ('["*"]\ninput_usd_per_mtok = 5', "name a model"),
        ('["a*b"]\ninput_usd_per_mtok = 5', r"a '\*' may only stand at the end"),
    ],
)
def test_what_is_no_price_is_refused_with_the_place_and_the_fix(text: str, said: str) -> None:
    with pytest.raises(BadPrice, match=rf'here: \[prices\."[^"]+"\].*{said}'):
        prices_of(tomllib.loads(text), "here")


def test_the_policy_file_holds_them_and_says_where_one_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "tidegauge.toml"
    path.write_text('[prices."m"]\ninput_usd_per_mtok = 5\n', encoding="utf-8")
    assert [one.input_usd_per_mtok for one in read_policy(path).prices["m"]] == [5]

    path.write_text('[prices."m"]\ninput = 5\n', encoding="utf-8")
    with pytest.raises(BadPolicy, match=r"tidegauge\.toml: \[prices\.\"m\"\]: unknown key 'input'"):
        read_policy(path)


def test_the_example_of_every_key_is_a_price_that_other_processes_get() -> None:
    policy = Policy(prices=prices_of({"m": dict(KEYS)}))

    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 (our own)
