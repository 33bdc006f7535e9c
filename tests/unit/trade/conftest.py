"""Members in memory: the pilot's real questions, run by a real DuckDB over real rows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import duckdb
import pyarrow as pa
import pytest

from apps.trade.customs import CustomsRow, generate
from apps.trade.disclosures import EXAMPLES, DisclosureRow, read_disclosures, rows_of
from apps.trade.questions import CUSTOMS, DISCLOSURES
from apps.trade.rule_packs import all_packs
from apps.trade.settings import SettingsError
from apps.trade.sources import Asker, RefusedError, Source, UnreachableError

ROWS = 500


@dataclass(frozen=True)
class Released:
    """One member's answer."""

    member: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass
class MemoryMember:
    """A member whose gateway always grants, unless told to refuse or to be absent."""

    member: str
    tables: dict[str, pa.Table]
    absent: bool = False
    refuses: bool = False
    asked: list[str] = field(default_factory=list)

    async def aggregate(self, trust: str, dataset: str, sql: str) -> Sequence[Released]:
        """Answer from the tables."""
        assert trust == "trade"
        self.asked.append(sql)
        if self.absent:
            raise UnreachableError(self.member, "connection refused")
        if self.refuses:
            raise RefusedError(self.member, "the grant trade-emissions is revoked", "UnknownGrant")
        with duckdb.connect() as connection:
            connection.register(dataset, self.tables[dataset])
            cursor = connection.execute(sql)
            columns = [column[0] for column in cursor.description or ()]
            return [Released(self.member, columns, cursor.fetchall())]


@dataclass
class Pool:
    """The members of a test, and who holds what."""

    members: dict[str, MemoryMember]
    holders: dict[str, tuple[str, ...]]
    grant: str = "trade-emissions"
    instead: dict[str, Asker] = field(default_factory=dict)

    def sources(self, dataset: str) -> Sequence[Source]:
        """Sources of a dataset."""
        if dataset not in self.holders:
            raise SettingsError(f"no grant covers {dataset}; ask the trust's trustees for one")
        return [
            Source(member=name, trust="trade", grant=self.grant, asker=self.instead.get(name, self.members[name]))
            for name in self.holders[dataset]
        ]


def disclosure_table(rows: Sequence[DisclosureRow]) -> pa.Table:
    """Rows as the table that a member holds."""
    return pa.Table.from_pylist([asdict(row) for row in rows])


def customs_table(rows: Sequence[CustomsRow]) -> pa.Table:
    """Rows as the table that a member holds."""
    return pa.Table.from_pylist([asdict(row) for row in rows])


@pytest.fixture(scope="session")
def example_rows() -> list[DisclosureRow]:
    """The Commission's examples under every pack."""
    return rows_of(read_disclosures(EXAMPLES), all_packs())


@pytest.fixture
def pool(example_rows: list[DisclosureRow]) -> Pool:
    """Disclosures at kr, customs rows at ca and ke, as in examples/."""
    members = {
        "kr": MemoryMember("kr", {DISCLOSURES: disclosure_table(example_rows)}),
        "ca": MemoryMember("ca", {CUSTOMS: customs_table(list(generate("ca", ROWS, 1)))}),
        "ke": MemoryMember("ke", {CUSTOMS: customs_table(list(generate("ke", ROWS, 2)))}),
    }
    return Pool(members, {DISCLOSURES: ("kr",), CUSTOMS: ("ca", "ke")})
