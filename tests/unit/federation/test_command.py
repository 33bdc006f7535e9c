from pathlib import Path

import pytest

from data_trusts.federate import ArgumentError, gateways_of, groups_of, main, micro_epsilon


def test_groups_are_read_as_a_person_writes_them() -> None:
    assert groups_of(["flow=1,2", "partner=KR,null"], ["day=2026-01-01,2026-02-01", "share=0.5,1"]) == {
        "flow": {"values": [1, 2]},
        "partner": {"values": ["KR", None]},
        "day": {"edges": ["2026-01-01", "2026-02-01"]},
        "share": {"edges": ["0.5", 1]},
    }


@pytest.mark.parametrize("argument", ["flow", "=1", "flow=1"])
def test_groups_that_make_no_sense_are_refused(argument: str) -> None:
    with pytest.raises(ArgumentError, match="write each column once"):
        groups_of(["flow=2", argument], [])


def test_a_price_is_exact_to_a_millionth() -> None:
    assert (micro_epsilon("0.5"), micro_epsilon("1e-6")) == (500_000, 1)


@pytest.mark.parametrize("price", ["0", "-1", "0.0000001", "much", "inf"])
def test_a_price_that_is_none_is_refused(price: str) -> None:
    with pytest.raises(ArgumentError, match="--epsilon"):
        micro_epsilon(price)


def test_a_wrong_file_is_named_and_ends_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateways.json"
    file.write_text('[{"member": "ca"}]')
    with pytest.raises(ArgumentError, match="give a list of member, url and ca_pem"):
        gateways_of(file)
    names = ("trust", "dataset", "grant", "purpose", "sql")
    asked = [part for name in names for part in (f"--{name}", "x")]
    assert main(["--gateways", str(file), "--token-file", str(tmp_path / "none"), *asked]) == 2
    assert "--gateways" in capsys.readouterr().err
