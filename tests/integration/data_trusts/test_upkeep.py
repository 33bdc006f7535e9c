"""A gateway ends rows by itself, leaves what is held, and records holds and all that it destroys."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from commonweal.grants import Policy
from data_trusts.audit import AuditLog
from data_trusts.catalog import Warehouse
from data_trusts.gateway.policies import MAX_SILENCE, PolicyBook
from data_trusts.gateway.upkeep import Upkeep
from data_trusts.maintenance import GRACE, KEEP_SNAPSHOTS
from data_trusts.table_files import root_of
from tests.integration.data_trusts.conftest import StartGateway, customs_file, paths_of, wait_for
from tests.integration.data_trusts.keeping import HOLD, identity_in, keeping, kept_dataset
from tests.unit.grants.samples import CUSTOMS, NOON


class Desk:
    """An upkeep with all that it stands on, and the clock in the test's hand."""

    def __init__(self, data: Path) -> None:
        self.now = NOON
        self.data = data
        self.book = PolicyBook("ca")
        self.warehouse = Warehouse(data)
        self.identity = identity_in(data)
        self.open()

    def open(self) -> None:
        self.audit = AuditLog(self.data / "audit" / "audit.jsonl", NOON)
        self.upkeep = Upkeep(
            member="ca",
            book=self.book,
            warehouse=self.warehouse,
            audit=self.audit,
            identity=self.identity,
            clock=lambda: self.now,
            pause=lambda _: False,
        )

    def obey(self, policy: Policy | None, *more: str) -> None:
        documents = {name: name for name in more}
        if policy is not None:
            documents["policy-trade"] = policy.render()
        self.book.replace(dict(documents), self.now)

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.data / "audit" / "audit.jsonl").read_text().splitlines()]

    def kinds(self) -> list[str]:
        return [entry["kind"] for entry in self.entries()]

    def turn(self) -> None:
        self.upkeep.turn()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "data")
    yield made
    made.audit.close()
    made.warehouse.close()


def test_a_hold_and_its_release_are_recorded_once(desk: Desk) -> None:
    desk.obey(keeping(HOLD))
    desk.upkeep.note_holds()
    desk.upkeep.note_holds()
    [declared] = desk.entries()
    assert (declared["kind"], declared["hold"]["name"], declared["hold"]["reason"]) == (
        "hold-declared",
        "court",
        "Case 7",
    )
    desk.obey(keeping())
    desk.upkeep.note_holds()
    desk.upkeep.note_holds()
    assert desk.kinds() == ["hold-declared", "hold-ended"]
    assert desk.entries()[1]["because"] == "released"


def test_a_hold_that_ends_by_itself_is_recorded_too(desk: Desk) -> None:
    desk.obey(keeping({**HOLD, "until": (NOON + timedelta(seconds=30)).isoformat()}))
    desk.upkeep.note_holds()
    desk.now = NOON + timedelta(seconds=31)
    desk.upkeep.note_holds()
    assert desk.kinds() == ["hold-declared", "hold-ended"]
    assert desk.entries()[1]["because"] == "its time is over"


def test_a_restart_forgets_no_hold_and_repeats_none(desk: Desk) -> None:
    desk.obey(keeping(HOLD))
    desk.upkeep.note_holds()
    desk.audit.close()
    desk.open()
    desk.upkeep.note_holds()
    assert desk.kinds() == ["hold-declared"]


def test_silence_or_a_broken_policy_releases_nothing(desk: Desk) -> None:
    desk.obey(keeping(HOLD))
    desk.upkeep.note_holds()
    desk.now = NOON + MAX_SILENCE + timedelta(seconds=1)
    desk.upkeep.note_holds()
    desk.obey(None, "policy-trade")
    desk.upkeep.note_holds()
    assert desk.kinds() == ["hold-declared"]
    desk.obey(None)
    desk.upkeep.note_holds()
    assert desk.kinds() == ["hold-declared", "hold-ended"]
    assert desk.entries()[1]["because"] == "the dataset is no longer declared here"


def test_ended_rows_go_at_the_next_turn_and_the_log_says_so(desk: Desk) -> None:
    desk.warehouse.ingest("trade", kept_dataset(), customs_file(10))
    desk.obey(keeping())
    desk.turn()
    assert desk.kinds() == ["retention-begun", "retention-done"]
    done = desk.entries()[1]
    assert (done["firstKept"], done["endedRows"], done["keptRows"]) == ("2026-01-02", 4, 6)
    desk.turn()
    assert desk.kinds() == ["retention-begun", "retention-done"], "nothing is due, so nothing is said"
    desk.now = NOON + timedelta(days=1)
    desk.obey(keeping())
    desk.turn()
    assert desk.entries()[-1]["keptRows"] == 3


def test_what_is_held_stays_and_is_refused_once(desk: Desk) -> None:
    desk.warehouse.ingest("trade", kept_dataset(), customs_file(10))
    desk.obey(keeping(HOLD))
    desk.turn()
    desk.turn()
    assert desk.kinds() == ["retention-refused"]
    assert "court of ke" in desk.entries()[0]["reason"]
    assert desk.warehouse.rows("trade", "customs_rows").num_rows == 10


def test_a_hold_that_comes_while_questions_are_waited_for_keeps_the_files(desk: Desk) -> None:
    desk.warehouse.ingest("trade", kept_dataset(), customs_file(10))
    desk.obey(keeping())

    def declared_meanwhile(_: float) -> bool:
        desk.obey(keeping(HOLD))
        return False

    desk.upkeep.pause = declared_meanwhile
    desk.turn()
    assert desk.kinds() == ["retention-begun", "retention-refused"]
    table = desk.warehouse.table("trade", "customs_rows")
    found = [pq.read_table(path) for path in paths_of(table) if path.suffix == ".parquet"]
    assert sum(each["day"].to_pylist().count(date(2026, 1, 1)) for each in found) == 4


def test_a_hold_that_comes_during_a_turn_keeps_the_history_of_other_tables(desk: Desk) -> None:
    """Ending one dataset's rows takes minutes; what follows obeys the policies of its own moment."""
    also = {**CUSTOMS, "name": "other_rows"}
    held, free = keeping(HOLD, also=also), keeping(also=also)
    other = free.dataset("other_rows")
    assert other is not None
    desk.now = datetime.now(UTC) + KEEP_SNAPSHOTS + timedelta(minutes=1)
    desk.warehouse.ingest("trade", kept_dataset(), customs_file(10))
    for rows in (1, 2):
        desk.warehouse.ingest("trade", other, customs_file(rows))
    desk.obey(free)

    def declared_meanwhile(_: float) -> bool:
        desk.obey(held)
        return False

    desk.upkeep.pause = declared_meanwhile
    desk.turn()
    assert desk.kinds() == ["retention-begun", "retention-refused"]
    assert len(desk.warehouse.table("trade", "other_rows").snapshots()) == 2
    desk.obey(free)
    desk.upkeep.pause = lambda _: False
    desk.turn()
    assert "maintained" in desk.kinds()
    assert len(desk.warehouse.table("trade", "other_rows").snapshots()) == 1


def test_while_the_policies_are_silent_nothing_is_destroyed(desk: Desk) -> None:
    desk.warehouse.ingest("trade", kept_dataset(), customs_file(10))
    desk.obey(keeping())
    desk.now = NOON + MAX_SILENCE + timedelta(seconds=1)
    desk.turn()
    assert desk.kinds() == []
    assert desk.warehouse.rows("trade", "customs_rows").num_rows == 10


def test_a_broken_table_is_recorded_and_the_others_go_on(desk: Desk) -> None:
    desk.warehouse.ingest("trade", kept_dataset(), customs_file(10))
    table = desk.warehouse.table("trade", "customs_rows")
    Path(table.metadata_location.removeprefix("file://")).write_text("{")
    desk.obey(keeping())
    desk.turn()
    assert desk.kinds() == ["retention-failed", "maintenance-failed"]
    assert dict(desk.upkeep.done) == {"failures": 2, "turns": 1}


def test_a_torn_file_is_recorded_and_what_tidies_it_away_goes_on(desk: Desk) -> None:
    """A writer that was killed leaves one; maintenance removes it, so nothing before may end the turn."""
    desk.warehouse.ingest("trade", kept_dataset(), customs_file(10))
    table = desk.warehouse.table("trade", "customs_rows")
    torn = Path(root_of(table).path) / "data" / "torn.parquet"
    torn.write_bytes(customs_file(10).getvalue()[:1000])
    desk.obey(keeping())
    desk.turn()
    assert desk.kinds() == ["retention-failed"]
    desk.now += GRACE
    desk.obey(keeping())
    desk.turn()
    assert desk.kinds() == ["retention-failed", "retention-failed", "maintained"]
    assert not torn.exists()
    desk.turn()
    assert desk.kinds()[-2:] == ["retention-begun", "retention-done"]


def test_a_turn_maintains_and_records_what_it_removed(desk: Desk) -> None:
    for rows in range(1, 4):
        desk.warehouse.ingest("trade", kept_dataset(), customs_file(rows))
    desk.now = datetime.now(UTC) + KEEP_SNAPSHOTS + timedelta(minutes=1)
    desk.obey(keeping(days=36_525))
    desk.turn()
    desk.now += GRACE
    desk.obey(keeping(days=36_525))
    desk.turn()
    assert desk.kinds() == ["maintained", "maintained"]
    assert (desk.entries()[0]["expired_snapshots"], desk.entries()[1]["removed_files"] > 0) == (2, True)


def test_a_running_gateway_does_it_by_itself(start_gateway: StartGateway, tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "ca" / "data")
    warehouse.ingest("trade", kept_dataset(), customs_file(10))
    warehouse.close()
    gateway = start_gateway("ca", keeping(HOLD).render(), COMMONWEAL_UPKEEP_EVERY_S="0.5")

    def recorded() -> set[str]:
        return {entry["kind"] for entry in gateway.audit()}

    wait_for("the hold", lambda: {"hold-declared", "retention-refused"} <= recorded(), gateway.process, 20)
    gateway.publish(keeping().render())
    wait_for("the release", lambda: {"hold-ended", "retention-begun"} <= recorded(), gateway.process, 20)
    assert 'commonweal_gateway_upkeep_total{what="turns"}' in gateway.get("/metrics").text
