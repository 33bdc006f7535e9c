"""What the greenest placement would save is a range over all that is said of the grids, and not a promise."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.carbon_choice import Intensity, Range, emitted, greenest, intensities, ranked, saved
from commonweal.green import MJ_PER_KWH, Basis, Factor, GreenError, Method
from commonweal.kinds import Member, PilotApp
from operators.cli.carbon import Case, case_of, read_factors, report
from operators.cli.terminal import CommandError
from tests.unit.dashboards.objects import KEY
from tests.unit.grants.samples import site
from tests.unit.hub.test_periods import pledge

ZONES = {"ca": "CA-QC", "ke": "KE", "kr": "KR"}
KNOWN = {
    "CA-QC": Intensity(low_mg_per_kwh=20_000, high_mg_per_kwh=35_000),
    "KE": Intensity(low_mg_per_kwh=90_000, high_mg_per_kwh=90_000),
    "KR": Intensity(low_mg_per_kwh=400_000, high_mg_per_kwh=450_000),
}
HEADER = "zone,vintage,method,basis,source,licence,mg_per_kwh\n"
ROWS = "CA-QC,2025,lifecycle,consumption,one,CC-BY-4.0,20000\nCA-QC,2025,lifecycle,consumption,two,CC-BY-4.0,35000\n"
placements = st.dictionaries(st.sampled_from(sorted(ZONES)), st.integers(1, 9), min_size=1)
grids = st.fixed_dictionaries(
    {
        zone: st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)).map(
            lambda ends: Intensity(low_mg_per_kwh=min(ends), high_mg_per_kwh=max(ends))
        )
        for zone in ZONES.values()
    }
)


def test_a_kilowatt_hour_emits_what_its_zone_is_said_to_emit() -> None:
    one = emitted({"ca": 2}, ZONES, KNOWN, MJ_PER_KWH)
    assert one == Range(low_mg=Fraction(40_000), high_mg=Fraction(70_000))


def test_what_moving_saves_is_the_difference_of_both_grids_at_their_ends() -> None:
    gain = saved({"kr": 1}, {"ca": 1}, ZONES, KNOWN, MJ_PER_KWH)
    assert gain == Range(low_mg=Fraction(400_000 - 35_000), high_mg=Fraction(450_000 - 20_000))


@given(placements, grids)
def test_staying_saves_exactly_nothing(placed: dict[str, int], known: dict[str, Intensity]) -> None:
    gain = saved(placed, placed, ZONES, known, MJ_PER_KWH)
    assert gain == Range(low_mg=Fraction(0), high_mg=Fraction(0))


@given(placements, placements, grids, st.data())
def test_whatever_factor_is_the_true_one_the_saving_is_within_its_range(
    actual: dict[str, int], instead: dict[str, int], known: dict[str, Intensity], data: st.DataObject
) -> None:
    true = {zone: data.draw(st.integers(each.low_mg_per_kwh, each.high_mg_per_kwh)) for zone, each in known.items()}
    gain = saved(actual, instead, ZONES, known, MJ_PER_KWH)
    exact = sum(true[ZONES[name]] * (actual.get(name, 0) - instead.get(name, 0)) for name in ZONES)
    assert gain.low_mg <= Fraction(exact) <= gain.high_mg


def test_the_greenest_members_take_as_many_replicas_as_there_are() -> None:
    order = ranked(ZONES, KNOWN)
    assert order == ["ca", "ke", "kr"]
    assert greenest(order, 5, 2) == {"ca": 4, "ke": 1}
    assert greenest(order, 1, 2) == {"ca": 1}
    assert greenest(order, 0, 2) == {}


def test_a_zone_without_a_factor_is_refused_and_never_taken_as_clean() -> None:
    with pytest.raises(GreenError, match="factors: none of zone KR, where kr pledges; add its row"):
        ranked(ZONES, {zone: KNOWN[zone] for zone in ("CA-QC", "KE")})


def test_factors_of_two_kinds_are_not_compared() -> None:
    one = Factor(
        zone="KR",
        vintage=2025,
        method=Method.DIRECT,
        basis=Basis.PRODUCTION,
        source="s",
        licence="l",
        mg_per_kwh=1,
    )
    with pytest.raises(GreenError, match="give factors of one method and basis"):
        intensities([one, replace(one, method=Method.LIFECYCLE)])


def pilot(status: Mapping[str, object] | None = None, **placement: object) -> PilotApp:
    spec = {
        "description": "d",
        "sponsor": "ca",
        "component": {"image": "one", "port": 8080},
        "resources": {},
        "replicas": 2,
        "serviceClass": "public",
        "placement": {"minMembers": 2, **placement},
    }
    return PilotApp.read({"kind": "PilotApp", "metadata": {"name": "trade"}, "spec": spec, "status": status})


def case(placed: dict[str, int]) -> Case:
    return Case(app=pilot(), placed=placed, zones=ZONES, allowed=frozenset({"ca", "ke"}))


def member(name: str, engine: str, *, accepted: bool = True) -> Member:
    spec = {"displayName": name, "country": name.upper(), "identityKey": KEY, "hubAccepts": accepted}
    told = site(name).wire() | {"engine": engine}
    return Member.read({"kind": "Member", "metadata": {"name": name}, "spec": spec, "status": {"site": told}})


def test_only_members_that_placement_itself_would_take_are_compared() -> None:
    running = {"placements": [{"member": "kr", "replicas": 2, "readyReplicas": 2, "endpoints": []}]}
    members = [member("ca", "trino"), member("ke", "duckdb"), member("kr", "trino"), member("br", "trino")]
    pledges = [pledge(name) for name in ("ca", "ke", "kr")]
    assert case_of(pilot(running), pledges, members).allowed == {"ca", "ke", "kr"}
    assert case_of(pilot(running, engines=["trino"]), pledges, members).allowed == {"ca", "kr"}
    assert case_of(pilot(running, countries=["KE"]), pledges, members).allowed == {"ke"}
    assert case_of(pilot(running), pledges, [member("ca", "trino", accepted=False)]).allowed == frozenset()
    with pytest.raises(CommandError, match="trade runs nowhere"):
        case_of(pilot(), pledges, members)


def test_the_report_compares_with_members_that_may_run_it() -> None:
    _, sentence = report(case({"kr": 2}), KNOWN, 500)
    assert sentence == (
        "Where it runs it emits 400.00 to 450.00 g CO2e an hour; the greenest placement, if it had room, would save "
        "337.50 to 395.00 g of that"
    )


def test_factors_are_read_from_a_table(tmp_path: Path) -> None:
    (tmp_path / "factors.csv").write_text(HEADER + ROWS)
    assert read_factors(tmp_path / "factors.csv") == {"CA-QC": KNOWN["CA-QC"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + ROWS + "KR,2025,lifecycle,consumption,,CC-BY-4.0,1\n", "line 4: factor.source: empty"),
        (HEADER + ",2025,lifecycle,consumption,one,CC-BY-4.0,1\n", "line 2: factor.zone: empty"),
        (HEADER + "KR,2025,market,consumption,one,CC-BY-4.0,1\n", "line 2: 'market' is not a valid Method"),
        ("zone,mg_per_kwh\nKR,1\n", "its columns are not zone, vintage, method"),
    ],
)
def test_a_factor_that_nobody_could_check_is_refused_by_line_and_field(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "factors.csv").write_text(text)
    with pytest.raises(CommandError, match=words):
        read_factors(tmp_path / "factors.csv")
