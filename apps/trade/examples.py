"""The Commission's worked examples, computed from their inputs; the oracle that they are compared with is in tests/."""

from apps.trade.disclosures import EXAMPLES, DisclosureRow, read_disclosures, rows_of
from apps.trade.rule_packs import all_packs

METHOD = "eu-2023-1773"  # the template's own method


def computed() -> list[DisclosureRow]:
    """Rows of every example under the transitional method."""
    return rows_of(read_disclosures(EXAMPLES), [pack for pack in all_packs() if pack.id == METHOD])
