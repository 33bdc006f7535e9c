"""The Commission's worked examples, computed from their inputs; the oracle that they are compared with is in tests/."""

from apps.trade.disclosures import EXAMPLES, DisclosureRow, read_disclosures, rows_of
from apps.trade.rule_packs import all_packs


def computed() -> list[DisclosureRow]:
    """Rows of every example, under the template's transitional method and under the definitive one."""
    return rows_of(read_disclosures(EXAMPLES), all_packs())
