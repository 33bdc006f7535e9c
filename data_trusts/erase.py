"""`python -m data_trusts.erase`: makes a value gone from a member's table, and gives a signed receipt.

`run` rewrites the table without the rows, drops every earlier version, removes the files and searches what is left; the
receipt names each file that is left with its hash, and the value only as a hash with a secret number, which is printed
once. `verify` checks a receipt with the gateway's certificate, which the hub publishes.
"""

import argparse
import asyncio
import hashlib
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from commonweal.retention import held
from data_trusts.catalog import CatalogError, warehouse_at
from data_trusts.declared import NotDeclaredError, add_arguments, declared_dataset, policies_of, printed
from data_trusts.erasure import ErasureError
from data_trusts.gateway.cluster import ClusterError
from data_trusts.signed import SignedError, keep_copy, opened_file, own_identity, signed, wire
from data_trusts.table_files import FilesError

RECEIPT_KIND = "ErasureReceipt"


def commitment(value: str, nonce: str) -> str:
    """What a receipt holds in place of the value: who knows both can check it, who guesses values cannot."""
    return hashlib.sha256(f"{nonce}:{value}".encode()).hexdigest()


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    value = sys.stdin.read().rstrip("\n") if arguments.value == "-" else arguments.value
    with warehouse_at(arguments.data) as warehouse:
        identity = asyncio.run(own_identity(arguments.data))  # nothing is erased that no receipt could be given for
        # Without a policy nobody knows whether the rows are held, so nothing is erased.
        policies = policies_of(arguments.member, arguments.policy_dir)
        dataset = declared_dataset(policies, arguments.trust, arguments.dataset)
        if not arguments.dry_run and (why := held(dataset.name, dataset.holds, datetime.now(UTC))):
            raise ErasureError(f"--dataset {why}")
        if arguments.dry_run:
            found = warehouse.holders(arguments.trust, arguments.dataset, arguments.column, value)
            return {"dryRun": True, "files": found}
        erased = warehouse.erase(arguments.trust, arguments.dataset, arguments.column, value)
    nonce = secrets.token_hex(16)
    receipt = {
        "kind": RECEIPT_KIND,
        "member": arguments.member,
        "trust": arguments.trust,
        "dataset": arguments.dataset,
        "column": arguments.column,
        "valueSha256": commitment(value, nonce),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **wire(erased),
    }
    document = signed(receipt, identity)
    name = f"{receipt['at'].replace(':', '')}-{receipt['valueSha256'][:12]}.json"
    keep_copy(document, arguments.data / "erasures" / name)  # without the secret number
    return {**document, "nonce": nonce}


def _verify(arguments: argparse.Namespace) -> dict[str, Any]:
    """The receipt, if the certificate's key signed it and, where value and number are given, it is about that value."""
    receipt = opened_file(arguments.receipt, arguments.certificate, RECEIPT_KIND)
    value, nonce = arguments.value, arguments.nonce
    if value is not None and nonce is not None and receipt["valueSha256"] != commitment(value, nonce):
        raise ErasureError("--value, --nonce: the receipt is about another value")
    return {"verified": True, "at": receipt["at"], "erasedRows": receipt["erasedRows"]}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_trusts.erase", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="erase, and print the signed receipt as JSON")
    for name in ("trust", "dataset", "column"):
        run.add_argument(f"--{name}", required=True)
    run.add_argument("--value", required=True, help="rows whose column equals it go; - reads standard input")
    add_arguments(run)
    run.add_argument("--dry-run", action="store_true", help="only name the files in which the value can be read")
    check = verbs.add_parser("verify", help="check a receipt")
    check.add_argument("receipt", type=Path)
    check.add_argument("--certificate", type=Path, required=True, help="the gateway's, PEM, as the hub shows it")
    check.add_argument("--value", help="with --nonce: check that the receipt is about this value")
    check.add_argument("--nonce")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run one verb; an error is one sentence and status 1."""
    arguments = _arguments(argv)
    work = _run if arguments.verb == "run" else _verify
    errors = (FilesError, SignedError, NotDeclaredError, CatalogError, ClusterError, OSError)
    return printed(lambda: work(arguments), *errors)


if __name__ == "__main__":
    sys.exit(main())
