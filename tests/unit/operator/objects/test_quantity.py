"""Quantities: one amount has many spellings."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_operator.objects import quantity

SAME = [
    ("1000m", "1"),
    ("4096Mi", "4Gi"),
    ("0.5", "500m"),
    ("1e3", "1k"),
    (".5Gi", "512Mi"),
    ("2", "2.0"),
    ("1E3", "1k"),
    # As an API server stores the left one in a pod template.
    ("0.3333", "334m"),
    ("100u", "1m"),
    ("1n", "1m"),
    ("1.0001", "1001m"),
    ("1.23456789Gi", "1325607178061m"),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_one_amount_in_two_spellings_is_the_same(left: str, right: str) -> None:
    assert quantity.same(left, right)


@pytest.mark.parametrize(("left", "right"), [("0.3333", "333m"), ("100u", "0"), ("1001m", "1"), ("1.0001", "1")])
def test_amounts_that_round_up_differently_are_not_the_same(left: str, right: str) -> None:
    assert not quantity.same(left, right)


def test_a_number_is_a_quantity_too() -> None:
    assert quantity.same(1, "1")
    assert not quantity.same(1, "1Ki")


@pytest.mark.parametrize("text", ["", "a lot", "1 Gi", "1gi", "--1", "1KiB"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity.parse(text)


def test_other_text_is_only_the_same_as_itself() -> None:
    assert quantity.same("a lot", "a lot")
    assert not quantity.same("a lot", "1")


def test_parts_are_rounded_up_where_only_whole_ones_are_had() -> None:
    assert quantity.whole("1500m") == 2
    assert quantity.whole("128Mi") == 128 * 1024**2


@given(st.integers(0, 10**12), st.sampled_from([*quantity.BINARY, *quantity.DECIMAL]))
def test_a_suffix_scales(number: int, suffix: str) -> None:
    unit = quantity.parse(f"1{suffix}")
    assert quantity.parse(f"{number}{suffix}") == Decimal(number) * unit
