"""Taking an official file in is one command: it shows what differs, writes a new release, and changes nothing else."""

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from apps.trade import rule_packs
from apps.trade.assessment import Book, Consignment, assess
from apps.trade.audit.bundle import make
from apps.trade.audit.evidence import Evidence, Release
from apps.trade.audit.verifier import verify
from apps.trade.cli import app
from apps.trade.rule_packs import FOLDER, RULES, PackError, all_packs, benchmarks_of, defaults_of, pack_files
from tests.unit.trade_bundle.conftest import KEY
from tests.unit.trade_official.books import STEEL, workbook
from tests.unit.trade_official.test_benchmarks import HEADER, ROWS

SHEETS = {"_Other Countries": STEEL, "South Korea": STEEL, "Version History": [("1.1", "corrected", "20 July 2026")]}
CACHED = (pack_files, all_packs, defaults_of, benchmarks_of, rule_packs.prices_of)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Rules are read once a process; here each test has its own."""
    yield
    for each in CACHED:
        each.cache_clear()


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def told(*words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(*words, "--json").stdout)
    return answer


def digest(folder: Path) -> str:
    held = b"".join(path.name.encode() + path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())
    return hashlib.sha256(held).hexdigest()


def test_a_new_release_is_compared_written_beside_and_used_by_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, out, shipped = workbook(tmp_path / "DVs.xlsx", SHEETS), tmp_path / "august", digest(FOLDER)
    words = ("defaults", "import", str(book), "--release", "2026/1740 of 3 August 2026", "--out", str(out))
    found = told(*words)
    assert found["written"] == str(out)
    in_force = defaults_of("eu-2025-2547")
    assert in_force is not None
    assert found["counts"] == {"added": 6, "removed": len(in_force.rows) - 2, "changed": 2}
    assert {"place": "7208 KR", "before": "2.118", "after": "see below"} in found["changes"]
    assert found["left_out"] == ["Version History"]
    assert "Version history ends with: 1.1, corrected, 20 July 2026." in found["notes"]
    assert digest(FOLDER) == shipped

    monkeypatch.setenv(RULES, str(out))
    for each in CACHED:
        each.cache_clear()
    asked = Consignment.model_validate(
        {"cn_code": "72081000", "country": "KR", "net_mass_kg": "1000", "import_year": 2026}
    )
    found_value = assess(asked, Book(all_packs(), defaults_of, ()))
    assert found_value.see_counted_t_per_t == Decimal("2.31")
    assert found_value.pack.defaults is not None
    assert found_value.pack.defaults.release == "2026/1740 of 3 August 2026"
    assert hashlib.sha256(book.read_bytes()).hexdigest() in found_value.pack.defaults.note
    whole = make(Evidence(asked, pack_files(), Release(grant=None)), KEY)
    assert verify(whole).rules_in_force is True
    monkeypatch.delenv(RULES)
    pack_files.cache_clear()
    assert verify(whole).rules_in_force is False


def test_a_release_is_never_overwritten(tmp_path: Path) -> None:
    book, out = workbook(tmp_path / "DVs.xlsx", SHEETS), tmp_path / "august"
    words = ("defaults", "import", str(book), "--release", "new", "--out", str(out))
    assert run(*words).exit_code == 0
    before = digest(out)
    again = run(*words)
    assert again.exit_code == 2
    assert "exists, and a release is never overwritten; name a new folder" in again.stderr
    assert digest(out) == before


def test_a_republished_table_under_the_name_in_force_is_refused(tmp_path: Path) -> None:
    book = workbook(tmp_path / "DVs.xlsx", SHEETS)
    in_force = "2025/2621 Annex I as amended by 2026/1740"
    refused = run("defaults", "import", str(book), "--release", in_force, "--out", str(tmp_path / "out"))
    assert refused.exit_code == 2
    assert "republished; name this one apart" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_one_bad_cell_keeps_the_whole_release_back_and_is_named(tmp_path: Path) -> None:
    bad = [*STEEL, ("7221 00 10", "Bars", "-", "-", "#VALUE!")]
    book = workbook(tmp_path / "DVs.xlsx", {"_Other Countries": STEEL, "Taiwan": bad})
    refused = run("defaults", "import", str(book), "--release", "new", "--out", str(tmp_path / "out"))
    assert refused.exit_code == 1
    assert "sheet Taiwan, cell E10: '#VALUE!' is neither a number" in refused.stderr
    assert "nothing was written" in refused.stderr
    assert list(tmp_path.iterdir()) == [book]


def test_a_comparison_alone_writes_nothing(tmp_path: Path) -> None:
    book = workbook(tmp_path / "DVs.xlsx", SHEETS)
    shown = run("defaults", "import", str(book), "--release", "new", "--show", "1")
    assert shown.exit_code == 0
    assert "against the release in force: 6 added" in shown.stdout
    assert list(tmp_path.iterdir()) == [book]


def test_a_sheet_of_another_name_is_told_by_an_option(tmp_path: Path) -> None:
    book = workbook(tmp_path / "DVs.xlsx", {"_Other Countries": STEEL, "Corea": STEEL})
    words = ("defaults", "import", str(book), "--release", "new")
    refused = run(*words)
    assert (refused.exit_code, refused.stderr.strip()) == (
        2,
        "Corea: no country is known by this name; say which with --country 'Corea=XX'",
    )
    assert run(*words, "--country", "Corea=KR").exit_code == 0
    assert "is not NAME=XX" in run(*words, "--country", "Corea").stderr


def test_benchmarks_come_in_the_same_way_with_their_years(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book, out = workbook(tmp_path / "BM.xlsx", {"Benchmarks": ROWS}, HEADER), tmp_path / "rules"
    found = told("benchmarks", "import", str(book), "--period", "2", "--out", str(out))
    assert found["rows"] == 7
    assert found["counts"]["added"] > 0
    monkeypatch.setenv(RULES, str(out))
    for each in CACHED:
        each.cache_clear()
    table = benchmarks_of("eu-2025-2547")
    assert table is not None
    assert table.years == (2028, 2029, 2030)
    assert {row.route for row in table.rows if row.cn_prefix == "7601"} == {"K", "L"}
    assert defaults_of("eu-2025-2547") is not None


def test_one_release_can_stand_on_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert told("benchmarks", "import", str(workbook(tmp_path / "BM.xlsx", {"B": ROWS}, HEADER)), "--out", str(first))
    monkeypatch.setenv(RULES, str(first))
    for each in CACHED:
        each.cache_clear()
    book = str(workbook(tmp_path / "DVs.xlsx", SHEETS))
    assert told("defaults", "import", book, "--release", "new", "--out", str(second))["written"]
    assert {path.name for path in second.glob("free_allocation_*")} == {p.name for p in first.glob("free_allocation_*")}
    assert not (second / "defaults_2621.csv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("defaults", "import", "absent.xlsx", "--release", "new"), "absent.xlsx: No such file or directory"),
        (("benchmarks", "import", "absent.xlsx"), "absent.xlsx: No such file or directory"),
    ],
)
def test_a_file_that_is_not_there_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    refused = run(*words)
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("pack", ["eu-2023-1773", "minerals-iso-14067", "none"])
def test_a_pack_without_such_a_table_is_refused(tmp_path: Path, pack: str) -> None:
    book = workbook(tmp_path / "DVs.xlsx", SHEETS)
    for words in (("defaults", "import", str(book), "--release", "new"), ("benchmarks", "import", str(book))):
        refused = run(*words, "--pack", pack)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("--pack: ")


def test_a_folder_of_rules_that_is_none_is_refused_by_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RULES, str(tmp_path))
    pack_files.cache_clear()
    with pytest.raises(PackError, match=f"{RULES}: .* holds no rule pack"):
        pack_files()
    monkeypatch.setenv(RULES, str(tmp_path / "absent"))
    with pytest.raises(PackError, match=f"{RULES}: .*No such file"):
        pack_files()
