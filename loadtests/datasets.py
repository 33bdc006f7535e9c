"""A member's data folder with the customs rows of examples/, filled through our own commands."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pyiceberg.catalog.sql import SqlCatalog

from commonweal.agreements import Deed, negotiate_all, with_approvals
from commonweal.grants import Policy, compile_policy
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.member import Site
from data_trusts.gateway.certificates import make_identity
from loadtests.wire import WireError

ROOT = Path(__file__).parents[1]
TRUST, DATASET, MEMBER = "trade", "customs_rows", "ca"


def example_policy(now: datetime, *, jwks: str = '{"keys":[]}', single_rows: bool = False) -> Policy:
    """The policy of member `ca` as the hub would write it for the trust and the grant of examples/.

    Args:
        now: when the grant must be live.
        jwks: the public keys of the issuer `https://ca.example`, whose tokens then count.
        single_rows: whether groups of one row may be released, which the example forbids.
    """
    declared = yaml.safe_load((ROOT / "examples" / "30-trust.yaml").read_text("utf-8"))
    for dataset in declared["spec"]["datasets"]:
        dataset["minimumGroupSize"] = 1 if single_rows else dataset["minimumGroupSize"]
    trust = DataTrust.read(declared)
    grant = DataGrant.read(yaml.safe_load((ROOT / "examples" / "40-grant.yaml").read_text("utf-8")))
    site = Site.model_validate(
        {
            "issuer": "https://ca.example",
            "jwks": jwks,
            "nodeAddress": "127.0.0.1",
            "allocatable": {},
            "agentVersion": "0.1.0",
            "kubernetesVersion": "v1.37.2",
        }
    )
    return agreed_policy(trust, (grant,), site, now)


def agreed_policy(trust: DataTrust, grants: Iterable[DataGrant], site: Site, now: datetime) -> Policy:
    """The policy of the member as the hub would write it, once every trustee approved each of these grants."""
    deed = Deed(trust)
    approved = (with_approvals(grant, deed, trust.spec.trustees) for grant in grants)
    return compile_policy(trust, negotiate_all(trust, approved, now), {MEMBER: site}, MEMBER)


def member_folder(folder: Path, *, jwks: str = '{"keys":[]}') -> None:
    """The policy that the hub would write, and the gateway's identity, in a new data folder.

    Args:
        folder: holds `policies/` and `data/` afterwards.
        jwks: the public keys of the issuer `https://ca.example`, whose tokens then count.
    """
    now = datetime.now(UTC)
    tls, policies = folder / "data" / "tls", folder / "policies"
    tls.mkdir(parents=True)
    policies.mkdir()
    (policies / "policy-trade.json").write_text(example_policy(now, jwks=jwks).render())
    identity = make_identity(MEMBER, ["127.0.0.1"], now)
    (tls / "key.pem").write_text(identity.key_pem)
    (tls / "certificate.pem").write_text(identity.certificate_pem)


def command(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of our modules on the folder, as the member's administrator would."""
    environment = {
        **os.environ,
        "COMMONWEAL_MEMBER": MEMBER,
        "COMMONWEAL_DATA": str(folder / "data"),
        "COMMONWEAL_POLICY_DIR": str(folder / "policies"),
    }
    argv = [sys.executable, "-m", module, *arguments]
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def command_succeeds(folder: Path, module: str, *arguments: str) -> str:
    """Run one of our modules on the folder; returns what it printed.

    Raises:
        WireError: it failed.
    """
    done = command(folder, module, *arguments)
    if done.returncode:
        raise WireError(f"{module}: {done.stderr.strip()}")
    return done.stdout


def generated(folder: Path, name: str) -> Path:
    """A Parquet file of synthetic customs rows.

    Raises:
        WireError: the generator failed.
    """
    path = folder / name
    command_succeeds(folder, "apps.trade.customs", "--member", MEMBER, "--out", str(path))
    return path


def ingest(folder: Path, file: Path, dataset: str = DATASET) -> None:
    """Take a file into a dataset's table.

    Raises:
        WireError: it was refused.
    """
    (folder / "data").mkdir(exist_ok=True)  # as the gateway makes it, which need not have started here
    command_succeeds(folder, "data_trusts.ingest", "--trust", TRUST, "--dataset", dataset, "--file", str(file))


def erase(folder: Path, column: str, value: str) -> dict[str, Any]:
    """Erase a value; returns the issued receipt.

    Raises:
        WireError: it was refused.
    """
    where = ["--trust", TRUST, "--dataset", DATASET, "--column", column, "--value", value]
    issued: dict[str, Any] = json.loads(command_succeeds(folder, "data_trusts.erase", "run", *where))
    return issued


def catalog(data: Path) -> SqlCatalog:
    """The tables of a data folder, as PyIceberg itself opens them without our code."""
    places = {"uri": f"sqlite:///{data / 'catalog.db'}", "warehouse": (data / "warehouse").as_uri()}
    return SqlCatalog("commonweal", **places)
