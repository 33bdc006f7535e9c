"""What tests of more than one behaviour start from."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from apps.trade.disclosures import Disclosure
from commonweal.attribution import UNATTRIBUTED, Interval, Look
from commonweal.equity import Category, Charter
from commonweal.kinds.data_grant import Beneficiary, DataGrant, DataGrantSpec
from commonweal.kinds.data_trust import ColumnRole, Dataset, DatasetColumn, Purpose
from commonweal.kinds.federation import FederationRules
from commonweal.kinds.meta import ObjectMeta
from commonweal.kinds.visibility import (
    Claim,
    ColumnMask,
    Comparison,
    Mask,
    MaskKind,
    Narrowing,
    Operator,
    RowRule,
)
from commonweal.ledger import POOL, Event, Post, Transfer, Unit, Void, delivered, used
from commonweal.metering import Measurement, Scope

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ACCOUNTS = (POOL, delivered("ca"), delivered("kr"), used("ca", "kr"))


def measurement(
    sequence: int,
    *,
    start: datetime,
    period: timedelta = timedelta(minutes=1),
    meter: str = "GPU-1",
    energy_mj: int = 6_000_000,
    estimated_mj: int = 0,
) -> Measurement:
    """One whole period of one simulated device; `metering.adopt` makes it a member's reading."""
    return Measurement(
        meter=meter,
        sequence=sequence,
        period_start=start,
        period_end=start + period,
        energy_mj=energy_mj,
        estimated_mj=estimated_mj,
        device_seconds=int(period.total_seconds()),
        gpu_count=1,
        scope=Scope.GPU,
        epoch=1,
        flags=(),
        simulated=True,
    )


def kubernetes_names() -> st.SearchStrategy[str]:
    """Names that objects, containers and rights may have; none holds a star."""
    return st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


def images() -> st.SearchStrategy[str]:
    """Images by tag, by digest, and by both, from two registries of which one is often allowed."""
    path = st.sampled_from(["localhost/commonweal/site", "localhost/commonweal-evil/site", "ghcr.io/example/web"])
    tag = st.sampled_from(["", ":1.2", ":latest"])
    digest = st.one_of(st.just(""), st.integers(0, 2**256 - 1).map(lambda value: f"@sha256:{value:064x}"))
    return st.builds("{}{}{}".format, path, tag, digest)


def pod_specs() -> st.SearchStrategy[dict[str, Any]]:
    """Pods of one to three containers, confined and not."""
    security = st.one_of(st.none(), st.fixed_dictionaries({}, optional={"privileged": st.booleans()}))
    container = st.builds(
        lambda name, image, context: {"name": name, "image": image} | ({"securityContext": context} if context else {}),
        kubernetes_names(),
        images(),
        security,
    )
    containers = st.lists(container, min_size=1, max_size=3, unique_by=lambda each: each["name"])
    shared = {key: st.booleans() for key in ("hostNetwork", "hostPID", "hostIPC")}
    return st.fixed_dictionaries({"containers": containers}, optional=shared)


def workloads() -> st.SearchStrategy[dict[str, Any]]:
    """Deployments in and outside a site's namespaces."""
    spaces = st.sampled_from(["commonweal-system", "commonweal-data", "commonweal-apps", "default"])

    def workload(name: str, space: str, pod: dict[str, Any]) -> dict[str, Any]:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": pod}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": space},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        }

    return st.builds(workload, kubernetes_names(), spaces, pod_specs())


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Transfers of three hours, each pending, posted or voided."""
    events: list[Event] = []
    for number in range(draw(st.integers(0, 12))):
        debit, credit = draw(st.permutations(ACCOUNTS))[:2]
        made = Transfer(
            debit=debit,
            credit=credit,
            unit=draw(st.sampled_from(Unit)),
            amount=draw(st.integers(1, 10**15)),
            period_start=NOON + timedelta(hours=draw(st.integers(0, 2))),
            evidence_sha256=f"{number:064x}",
        )
        events.append(made)
        events += draw(st.sampled_from([[], [Post(made.id)], [Void(made.id, "disputed")]]))
    return events


def transfers(members: tuple[str, ...], *, size: int = 12) -> st.SearchStrategy[list[Transfer]]:
    """Different deliveries and uses that a hub could have posted for one of three hours."""

    def made(number: int, drawn: tuple[str, str, Unit, int, int]) -> Transfer:
        member, other, unit, amount, hour = drawn
        given = unit is not Unit.CORE_SECONDS and number % 3
        return Transfer(
            debit=POOL if given else used(member, other),
            credit=delivered(member) if given else POOL,
            unit=unit,
            amount=amount,
            period_start=NOON + timedelta(hours=hour),
            evidence_sha256=f"{number:064x}",
        )

    one = st.tuples(
        st.sampled_from(members),
        st.sampled_from(members),
        st.sampled_from(Unit),
        st.integers(1, 10**9),
        st.integers(0, 2),
    )
    return st.lists(one, max_size=size).map(lambda drawn: [made(*each) for each in enumerate(drawn)])


charters = st.builds(
    Charter,
    weights_bp=st.sampled_from(
        [
            {Category.COMPUTE: 6000, Category.ENERGY: 2000, Category.TALENT: 1500, Category.DATA: 500},
            {Category.COMPUTE: 10_000, Category.ENERGY: 0, Category.TALENT: 0, Category.DATA: 0},
        ]
    ),
    basic_share_bp=st.sampled_from([0, 500, 2000]),
    cap_bp=st.sampled_from([2500, 3400, 10_000]),
    beyond_pledge_bp=st.just(5000),
    energy_cap_mw=st.just(700_000),
    decay_half_life_periods=st.sampled_from([None, 1, 720]),
    vesting_half_life_periods=st.sampled_from([None, 1, 24]),
    smoothing_periods=st.sampled_from([None, 1, 12]),
)


@st.composite
def looks(draw: st.DrawFn) -> Look:
    """What may be seen of a board: reservations up to the whole of it, any use, measured or not."""
    owners = draw(st.lists(st.sampled_from(["ns/a", "ns/b", "ns/c", "ns/d"]), unique=True))
    weights = [draw(st.integers(0, 7)) for _ in owners]
    whole = sum(weights) + draw(st.integers(0, 7)) or 1
    users = st.sampled_from(["ns/a", "ns/b", "ns/e", UNATTRIBUTED])
    return Look(
        reserved={owner: Fraction(weight, whole) for owner, weight in zip(owners, weights, strict=True)},
        busy=draw(st.none() | st.dictionaries(users, st.integers(0, 100))),
        running=draw(st.none() | st.frozensets(users)),
    )


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    """What a register may count between two samples; only a reset that was seen leaves something to estimate."""
    reset, seen = draw(st.booleans()), draw(st.booleans())
    return Interval(
        measured_mj=draw(st.integers(0, 10**9)),
        estimated_mj=draw(st.integers(0, 10**9)) if reset and seen else 0,
        length_ms=draw(st.integers(1, 100_000)),
        reset=reset,
        seen=seen,
    )


def _amounts(most: int = 10**6) -> st.SearchStrategy[str]:
    return st.decimals(0, most, places=3).map(str)


def _shares(least: str = "0") -> st.SearchStrategy[str]:
    return st.decimals(Decimal(least), 1, places=3).map(str)


def _sources() -> st.SearchStrategy[dict[str, Any]]:
    def kind(name: str, **fields: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({"kind": st.just(name), "name": st.just(name), **fields})

    signed = st.decimals(-(10**6), 10**6, places=3).map(str)
    return st.one_of(
        kind("mass_balance", amount_t=signed, carbon_t_per_t=_shares(), biomass_share=_shares()),
        kind("combustion", amount_t=_amounts(), ncv_gj_per_t=_amounts(60), factor_t_per_tj=_amounts(120)),
        kind("nitrous_oxide", n2o_t=_amounts(), abated_share=_shares()),
        kind("process", amount_t=_amounts(), factor_t_per_t=_amounts(2), conversion=_shares()),
        kind(
            "perfluorocarbons",
            aluminium_t=_amounts(),
            anode_effect_minutes=_amounts(5),
            slope_kg_per_t_minute=_amounts(1),
            c2f6_per_cf4=_shares(),
            collection_efficiency=_shares("0.5"),
        ),
        kind("measured", co2e_t=_amounts()),
    )


def _bought() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "kind": st.just("bought"),
            "name": st.just("alloy"),
            "cn_code": st.sampled_from(["72021180", "72022100", "28041000", "25231000", "72044900"]),
            "amount_t": _amounts(),
            "direct_t_per_t": _amounts(20),
            "electricity_mwh_per_t": _amounts(20),
            "factor_t_per_mwh": _shares(),
            "origin": st.sampled_from([None, "DE", "CN"]),
            "is_default": st.booleans(),
            "verified_for": st.just(2026),
        }
    )


def _made_precursors(product: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    into = {"kind": st.just("made"), "product": st.just(product), "amount_t": _amounts()}
    return st.lists(st.fixed_dictionaries(into), min_size=1, max_size=1)


def _products(name: str, code: str, made: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    energy = {"imported_tj": _amounts(), "exported_tj": _amounts()}
    heat = st.fixed_dictionaries({"factor_t_per_tj": _amounts(120), "efficiency": _shares("0.5"), **energy})
    return st.fixed_dictionaries(
        {
            "name": st.just(name),
            "cn_codes": st.just([code]),
            "activity_t": st.decimals(1, 10**6, places=3).map(str),
            "clinker_t_per_t": _shares("0.05"),
            "sources": st.lists(_sources(), min_size=1, max_size=3),
            "electricity": st.fixed_dictionaries(
                {
                    "factor_t_per_mwh": _shares(),
                    "consumed_mwh": _amounts(),
                    "exported_mwh": _amounts(),
                    "exported_factor_t_per_mwh": _shares(),
                }
            ),
            "waste_gas": st.fixed_dictionaries(energy),
            "heat": st.none() | heat,
            "precursors": st.tuples(st.lists(_bought(), max_size=2), *(_made_precursors(each) for each in made)).map(
                lambda parts: [each for part in parts for each in part]
            ),
        }
    )


def trade_disclosures() -> st.SearchStrategy[Disclosure]:
    """Installations that make a slab, a pipe from it, and cement: inside and outside Annex II, and by clinker."""
    products = st.tuples(
        _products("slab", "72189911", ()),
        _products("pipe", "73041100", ("slab",)),
        _products("cement", "25232900", ()),
    )
    return products.map(
        lambda made: Disclosure.model_validate(
            {"installation_id": "MILL-1", "country": "KR", "period": 2026, "provenance": "drawn", "products": made}
        )
    )


def sql_names() -> st.SearchStrategy[str]:
    """Names of tables and columns."""
    return st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


def _texts() -> st.SearchStrategy[str]:
    return st.text(min_size=1, max_size=20)


@st.composite
def row_rules(draw: st.DrawFn, columns: tuple[DatasetColumn, ...]) -> tuple[RowRule, ...]:
    """Rules that compare the columns which may be compared; text values, since no type is checked here."""
    names = [column.name for column in columns if column.role is not ColumnRole.MEASURE]
    if not names:
        return ()
    column, values = st.sampled_from(names), st.lists(_texts(), min_size=1, max_size=3).map(tuple)
    comparisons = st.one_of(
        st.builds(Comparison, column=column, operator=st.sampled_from([Operator.IN, Operator.NOT_IN]), values=values),
        st.builds(Comparison, column=column, operator=st.just(Operator.IN), claim=st.sampled_from(Claim)),
        st.builds(Comparison, column=column, operator=st.just(Operator.BELOW), values=st.tuples(_texts())),
        st.builds(Comparison, column=column, operator=st.sampled_from([Operator.IS_NULL, Operator.IS_NOT_NULL])),
    )
    any_of = st.lists(comparisons, min_size=1, max_size=3).map(tuple)
    rules = st.tuples(kubernetes_names(), any_of).map(lambda pair: RowRule(name=pair[0], any_of=pair[1]))
    return tuple(draw(st.lists(rules, max_size=3, unique_by=lambda rule: rule.name)))


def masks() -> st.SearchStrategy[Mask]:
    """Masks of every kind."""
    sized = st.builds(Mask, kind=st.sampled_from([MaskKind.PREFIX, MaskKind.BUCKET]), size=st.integers(1, 9))
    return st.one_of(sized, st.builds(Mask, kind=st.sampled_from([MaskKind.NULL, MaskKind.YEAR, MaskKind.MONTH])))


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Declared datasets with roles, masks, rules and, at times, federation."""
    column = st.builds(
        DatasetColumn,
        name=sql_names(),
        type=st.sampled_from(["boolean", "int", "long", "double", "string", "date", "timestamptz", "decimal(38, 9)"]),
        role=st.sampled_from(ColumnRole),
        unit=st.none() | st.just("kg"),
        description=st.none() | _texts(),
        mask=st.none() | masks(),
    )
    columns = tuple(draw(st.lists(column, min_size=1, max_size=4, unique_by=lambda each: each.name)))
    sources = ("ca", "ke", "kr")
    return Dataset(
        name=draw(sql_names()),
        description=draw(_texts()),
        licence=draw(st.sampled_from(["CC0-1.0", "CC-BY-4.0"])),
        synthetic=draw(st.booleans()),
        minimum_group_size=draw(st.integers(1, 9)),
        columns=columns,
        sources=sources,
        row_rules=draw(row_rules(columns)),
        federation=draw(st.none() | st.just(FederationRules(combiner="ke", minimum_members=3))),
    )


@st.composite
def grants(draw: st.DrawFn) -> DataGrant:
    """Requests with narrowing, sponsored and not; names and values are arbitrary, since no trust is asked."""
    names = tuple(draw(st.lists(sql_names(), min_size=1, max_size=3, unique=True)))
    column = st.builds(
        DatasetColumn, name=sql_names(), type=st.just("string"), role=st.just(ColumnRole.DIMENSION), mask=masks()
    )
    narrowing = []
    for name in draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
        columns = tuple(draw(st.lists(column, min_size=1, max_size=3, unique_by=lambda each: each.name)))
        masked = tuple(ColumnMask(column=each.name, mask=each.mask) for each in columns if each.mask)
        licences = draw(st.sampled_from([(), ("CC0-1.0",), ("CC0-1.0", "ODbL-1.0")]))
        rules = draw(row_rules(columns))
        narrowing.append(Narrowing(dataset=name, row_rules=rules, masks=masked, licences=licences))
    sponsor = draw(st.none() | st.sampled_from(["ca", "kr"]))
    zone = draw(st.timezones())
    spec = DataGrantSpec(
        trust=draw(kubernetes_names()),
        beneficiary=Beneficiary(pilot_app=draw(kubernetes_names()), sponsor=sponsor),
        purpose=draw(st.sampled_from(Purpose)),
        datasets=names,
        narrowing=tuple(narrowing),
        expires_at=(NOON + draw(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=5000)))).astimezone(
            zone
        ),
    )
    return DataGrant(metadata=ObjectMeta(name=draw(kubernetes_names())), spec=spec)
