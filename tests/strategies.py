"""What tests of more than one behaviour start from."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from apps.trade.disclosures import Disclosure
from commonweal.metering import Measurement, Scope


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
            "cn_code": st.sampled_from(["72021180", "72022100", "28041000", "25231000"]),
            "amount_t": _amounts(),
            "direct_t_per_t": _amounts(20),
            "electricity_mwh_per_t": _amounts(20),
            "factor_t_per_mwh": _shares(),
            "origin": st.sampled_from([None, "DE", "CN"]),
            "is_default": st.booleans(),
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
