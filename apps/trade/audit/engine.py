"""Which code computed a value: the package's version and the SHA-256 of every module that the value depends on."""

import hashlib
from functools import cache
from pathlib import Path

import commonweal
from commonweal.transparency import canonical_json

PART = "engine.json"
ROOT = Path(__file__).parents[3]
# All that the verifier imports of ours, errors.py to verifier.py included; a test walks the imports and compares.
MODULES = (
    "apps/trade/assessment.py",
    "apps/trade/attribution.py",
    "apps/trade/audit/allocations.py",
    "apps/trade/audit/bills.py",
    "apps/trade/audit/bundle.py",
    "apps/trade/audit/container.py",
    "apps/trade/audit/engine.py",
    "apps/trade/audit/envelope.py",
    "apps/trade/audit/errors.py",
    "apps/trade/audit/evidence.py",
    "apps/trade/audit/formulas.py",
    "apps/trade/audit/keys.py",
    "apps/trade/audit/processes.py",
    "apps/trade/audit/provenance.py",
    "apps/trade/audit/steps.py",
    "apps/trade/audit/trace.py",
    "apps/trade/audit/verifier.py",
    "apps/trade/bill.py",
    "apps/trade/certificates.py",
    "apps/trade/default_tables.py",
    "apps/trade/defaults.py",
    "apps/trade/disclosures.py",
    "apps/trade/emission_sources.py",
    "apps/trade/emissions.py",
    "apps/trade/files.py",
    "apps/trade/free_allocation.py",
    "apps/trade/goods.py",
    "apps/trade/intervals.py",
    "apps/trade/precursors.py",
    "apps/trade/prices.py",
    "apps/trade/products.py",
    "apps/trade/rule_packs.py",
    "apps/trade/totals.py",
    "apps/trade/views.py",
    "commonweal/transparency.py",
)


@cache
def identity() -> bytes:
    """What this engine is, canonical: equal code has equal bytes on every machine."""
    hashes = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in MODULES}
    return canonical_json({"package": "commonweal", "version": commonweal.__version__, "modules": hashes})
