"""Every source of evidence gets into a member's Iceberg table by the commands that its administrator types."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from apps.trade.ingests.__main__ import SOURCES
from commonweal.grants import compile_policy
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.member import Site
from data_trusts.catalog import Warehouse

ROOT = Path(__file__).parents[3]
TRUST, MEMBER = "trade-evidence", "ca"
SITE = {
    "issuer": "https://ca.example",
    "jwks": '{"keys":[]}',
    "nodeAddress": "127.0.0.1",
    "allocatable": {},
    "agentVersion": "0.1.0",
    "kubernetesVersion": "v1.37.2",
}


def run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "COMMONWEAL_MEMBER": MEMBER,
        "COMMONWEAL_DATA": str(folder / "data"),
        "COMMONWEAL_POLICY_DIR": str(folder / "policies"),
    }
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A member's folder with the policy of the trust that `declare` prints."""
    folder = tmp_path_factory.mktemp("member")
    (folder / "policies").mkdir()
    (folder / "data").mkdir()
    declared = run(folder, "apps.trade.ingests", "declare", "--source-member", MEMBER).stdout
    trust = DataTrust.read(yaml.safe_load(declared))
    policy = compile_policy(trust, (), {MEMBER: Site.model_validate(SITE)}, MEMBER)
    (folder / "policies" / "policy.json").write_text(policy.render())
    return folder


@pytest.mark.parametrize("dataset", sorted(SOURCES))
def test_a_sources_rows_lie_in_the_members_table_with_origin_and_label(member: Path, dataset: str) -> None:
    file = member / f"{dataset}.parquet"
    made = run(member, "apps.trade.ingests", dataset, "--synthetic", "--out", str(file))
    assert made.returncode == 0, made.stderr
    taken = run(member, "data_trusts.ingest", "--trust", TRUST, "--dataset", dataset, "--file", str(file))
    assert taken.returncode == 0, taken.stderr
    warehouse = Warehouse(member / "data")
    try:
        rows = warehouse.rows(TRUST, dataset).to_pylist()
    finally:
        warehouse.close()
    assert f"{len(rows)} rows added" in taken.stdout
    assert all(row["synthetic"] and row["licence"] == "CC0-1.0" and row["provenance"] for row in rows)


def test_policies_name_every_column_that_is_written(member: Path) -> None:
    policy = json.loads((member / "policies" / "policy.json").read_text())
    assert sorted(each["name"] for each in policy["datasets"]) == sorted(SOURCES)
