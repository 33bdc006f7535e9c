from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.quantity import exact, quantity


@pytest.mark.parametrize(
    ("text", "per_unit", "whole"),
    [
        ("2", 1000, 2000),
        ("500m", 1000, 500),
        ("1.5", 1000, 1500),
        ("1500u", 1000, 1),
        ("2Gi", 1, 2 * 2**30),
        ("1.5Ki", 1, 1536),
        ("3k", 1, 3000),
        ("999m", 1, 0),
    ],
)
def test_a_quantity_is_rounded_down_to_whole_units(text: str, per_unit: int, whole: int) -> None:
    assert quantity(text, per_unit=per_unit) == whole


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "-1", "1e3x", "0x10"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Kubernetes quantity"):
        quantity(text)


@given(millis=st.integers(0, 10**9))
def test_millicores_read_back(millis: int) -> None:
    assert quantity(f"{millis}m", per_unit=1000) == millis


@given(numerator=st.integers(0, 10**12), nano=st.integers(0, 10**9 - 1))
def test_nothing_is_lost_before_it_is_rounded(numerator: int, nano: int) -> None:
    assert exact(f"{numerator}.{nano:09d}") == numerator + Fraction(nano, 10**9)
