"""`python -m data_trusts.bundle`: takes a member's tables, contracts and audit proofs along, and in elsewhere.

`export` writes a bundle that stock PyIceberg, DuckDB and Trino read where it lies; `verify` checks one with the
certificate of the gateway that signed it, which the hub publishes, and asks nobody; `import` takes its tables into
this member's warehouse. Only the member's own administrator runs them, beside the files.
"""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_trusts.bundle_export import Order, contracts_in, export
from data_trusts.bundle_form import Bundle, BundleError, unpacked, verified
from data_trusts.bundle_import import take_in
from data_trusts.catalog import CatalogError, warehouse_at
from data_trusts.declared import add_arguments, policies_of, printed, tell
from data_trusts.gateway.cluster import ClusterError
from data_trusts.signed import SignedError, own_identity
from data_trusts.table_files import FilesError, address_of


def _export(arguments: argparse.Namespace) -> dict[str, Any]:
    out = arguments.out
    with warehouse_at(arguments.data) as warehouse:
        identity = asyncio.run(own_identity(arguments.data))  # nothing is written that could not be signed
        policies = policies_of(arguments.member, arguments.policy_dir).by_trust
        there = {trust for trust, _ in warehouse.tables()}
        trusts = tuple(sorted(there | policies.keys() if arguments.all else set(arguments.trust)))
        if unknown := [trust for trust in trusts if trust not in there and trust not in policies]:
            known = ", ".join(sorted(there | policies.keys())) or "none"
            raise BundleError(f"--trust {unknown[0]}: no table and no policy of it here; the trusts are {known}")
        for trust in trusts:
            if trust not in policies:
                tell(f"{trust}: no policy of it here, so none is in the bundle")
        order = Order(
            member=arguments.member,
            trusts=trusts,
            policies=tuple(policies[trust] for trust in trusts if trust in policies),
            contracts=contracts_in(arguments.contracts, trusts),
            root=address_of(arguments.root or (out.with_suffix("") if out.suffix == ".tar" else out)),
            at=datetime.now(UTC),
        )
        bundle = export(warehouse, identity, order, out, tell)
    return {"out": str(out), **_summary(bundle)}


def _verify(arguments: argparse.Namespace) -> dict[str, Any]:
    with unpacked(arguments.bundle) as folder:
        return {"verified": True, **_summary(verified(folder, arguments.certificate.read_text()))}


def _import(arguments: argparse.Namespace) -> dict[str, Any]:
    with unpacked(arguments.bundle) as folder:
        bundle = verified(folder, arguments.certificate.read_text())
        with warehouse_at(arguments.data) as warehouse:
            done = take_in(warehouse, folder, bundle, dry_run=arguments.dry_run, tell=tell)
    tables = [{"table": f"{each.trust}.{each.dataset}", "rows": each.rows, "added": each.added} for each in done]
    return {"dryRun": arguments.dry_run, "tables": tables}


def _summary(bundle: Bundle) -> dict[str, Any]:
    return {
        "member": bundle.member,
        "root": bundle.root,
        "trusts": list(bundle.trusts),
        "tables": {table.name: table.rows for table in bundle.tables},
        "files": len(bundle.files),
    }


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_trusts.bundle", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    leave = verbs.add_parser("export", help="write a bundle")
    which = leave.add_mutually_exclusive_group(required=True)
    which.add_argument("--trust", action="append", help="a trust; may be repeated")
    which.add_argument("--all", action="store_true", help="every trust of this member")
    leave.add_argument("--out", type=_plain, required=True, help="a new folder, or a new file that ends in .tar")
    leave.add_argument(
        "--root", type=_absolute, help="the folder where engines will read the tables; default: --out without .tar"
    )
    leave.add_argument(
        "--contracts",
        type=Path,
        nargs="*",
        default=[],
        help="deeds and grants, as `kubectl get datatrust,datagrant -o yaml` writes them at the hub",
    )
    add_arguments(leave)
    leave.set_defaults(run=_export)
    for name, run, what in (("verify", _verify, "check a bundle"), ("import", _import, "take a bundle's tables in")):
        verb = verbs.add_parser(name, help=what)
        verb.add_argument("bundle", type=Path, help="its folder or tar file")
        verb.add_argument("--certificate", type=Path, required=True, help="the exporter's gateway's, PEM, from the hub")
        verb.set_defaults(run=run)
        if name == "import":
            add_arguments(verb)
            verb.add_argument("--dry-run", action="store_true", help="only say what would be taken in")
    return parser.parse_args(argv)


def _plain(text: str) -> Path:
    return _absolute(str(Path(text).absolute()))


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or set("?#%") & set(text):
        raise argparse.ArgumentTypeError(f"{text} is not absolute, or has a ?, # or %; name a plain whole path")
    return path


def main(argv: list[str] | None = None) -> int:
    """Run one verb; an error is one sentence and status 1."""
    arguments = _arguments(argv)
    errors = (BundleError, FilesError, SignedError, CatalogError, ClusterError, OSError)
    return printed(lambda: arguments.run(arguments), *errors)


if __name__ == "__main__":
    sys.exit(main())
