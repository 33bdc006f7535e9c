"""Writes a bundle: what a member takes along when it leaves, or gives to whoever takes over a trust.

Nobody else reads a bundle's rows on the way: only the member's own administrator runs this, beside the files.
"""

import json
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from pydantic import ValidationError

from commonweal.checkpoints import NoteError, read_checkpoint, read_vkey
from commonweal.grants import Policy
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.tiles import WIDTH, Tree, tile_path
from data_trusts import taken
from data_trusts.bundle_form import ENTRIES, MANIFEST, Bundle, BundleError, BundleFile, BundleTable, digest, state_of
from data_trusts.catalog import Warehouse
from data_trusts.gateway.certificates import Identity
from data_trusts.relocation import Relocation, synced
from data_trusts.signed import signed
from data_trusts.tlog import TlogError, reader

UNFINISHED = "UNFINISHED"
RECEIPTS = ("erasures", "retentions")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is exported: the trusts by name, with the policies and contracts that are there for them."""

    member: str
    trusts: tuple[str, ...]
    policies: tuple[Policy, ...]
    contracts: tuple[DataTrust | DataGrant, ...]
    root: str
    at: datetime


def contracts_in(files: Iterable[Path], trusts: Collection[str]) -> tuple[DataTrust | DataGrant, ...]:
    """The deeds and grants of some trusts in files of YAML, as `kubectl get -o yaml` writes them.

    Raises:
        BundleError: a file is no YAML, or holds another kind of object.
    """
    found: list[DataTrust | DataGrant] = []
    for file in files:
        try:
            for body in yaml.safe_load_all(file.read_text()):
                bodies = body["items"] if body["kind"].endswith("List") else [body]
                found += [_contract(each) for each in bodies]
        except (yaml.YAMLError, ValidationError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"--contracts {file}: holds other than DataTrusts and DataGrants ({error!r})") from error
    return tuple(each for each in found if _trust_of(each) in trusts)


def _contract(body: dict[str, object]) -> DataTrust | DataGrant:
    kinds: dict[object, type[DataTrust | DataGrant]] = {"DataTrust": DataTrust, "DataGrant": DataGrant}
    return kinds[body["kind"]].model_validate(body)


def _trust_of(contract: DataTrust | DataGrant) -> str:
    return contract.metadata.name if isinstance(contract, DataTrust) else contract.spec.trust


def export(
    warehouse: Warehouse, identity: Identity, order: Order, out: Path, tell: Callable[[str], None] = lambda _: None
) -> Bundle:
    """Write a bundle to a new folder, or to a new file where the name ends in `.tar`: whole, or not at all.

    Raises:
        BundleError: the place is taken, or the audit log is not as it was signed.
        CatalogError: the catalog or a table's metadata cannot be read.
        FilesError: a table is of a format that is not carried.
        OSError: a file cannot be read, or the disk is full; what was written is removed.
    """
    if out.exists():
        raise BundleError(f"--out {out}: is there already; name a new place")
    folder = out.with_name(f".{out.name}.unfinished")
    if folder.exists() and not (folder / UNFINISHED).exists():
        raise BundleError(f"{folder}: is there and not ours; move it away")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        (folder / UNFINISHED).touch()
        try:
            bundle = _written(warehouse, identity, order, folder, tell)
        except ValidationError as error:
            raise BundleError(f"a name here is none that a trust can have: {error.errors()[0]['input']!r}") from error
        (folder / UNFINISHED).unlink()
        if out.suffix == ".tar":
            _packed(folder, out)
        else:
            folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return bundle


def _written(
    warehouse: Warehouse, identity: Identity, order: Order, folder: Path, tell: Callable[[str], None]
) -> Bundle:
    with warehouse.exclusive():  # one state of all tables; ingests wait
        tables = []
        for trust, dataset in warehouse.tables():
            if trust in order.trusts:
                tell(f"{trust}.{dataset}: copying")
                tables.append(_table(warehouse, order.root, trust, dataset, folder))
    for policy in order.policies:
        _text(folder / "contracts" / f"policy-{policy.trust}.json", policy.render())
    for contract in order.contracts:
        name = f"{contract.kind.lower()}-{contract.metadata.name}.json"
        _text(folder / "contracts" / name, json.dumps(contract.wire(), indent=2))
    _receipts(warehouse.folder, order.trusts, folder)
    size = _audit(warehouse.folder / "audit", set(order.trusts), folder)
    _text(folder / "certificate.pem", identity.certificate_pem)
    bundle = Bundle(
        member=order.member,
        exported_at=order.at,
        root=order.root,
        trusts=order.trusts,
        tables=tuple(tables),
        audit_size=size,
        files=tuple(_listed(folder)),
    )
    _text(folder / MANIFEST, json.dumps(signed(bundle.wire(), identity)))
    return bundle


def _table(warehouse: Warehouse, root: str, trust: str, dataset: str, folder: Path) -> BundleTable:
    table = warehouse.table(trust, dataset)
    place = f"tables/{trust}/{dataset}"
    uri = f"{root}/{place}"
    name = Relocation(metadata=table.metadata, source=table.io, target=folder / place, uri=uri).run()
    _text(folder / place / "metadata" / "version-hint.text", Path(name).name.removesuffix(".metadata.json"))
    if digests := taken.known(warehouse.folder, table, trust, dataset):
        _text(taken.path_for(folder, trust, dataset), "".join(f"{each}\n" for each in sorted(digests)))
    uuid, snapshot_id = state_of(table.metadata)
    return BundleTable(
        trust=trust,
        dataset=dataset,
        metadata=f"{place}/{name}",
        table_uuid=uuid,
        snapshot_id=snapshot_id,
        rows=table.scan().count(),
    )


def _receipts(data: Path, trusts: Collection[str], folder: Path) -> None:
    for kind in RECEIPTS:
        for path in sorted((data / kind).glob("*.json")):
            if json.loads(path.read_text())["receipt"]["trust"] in trusts:
                _text(folder / "receipts" / kind / path.name, path.read_text())


def _audit(log: Path, trusts: set[str], folder: Path) -> int | None:
    """The signed head, its tiles, and every entry that concerns the trusts with the proof that the head covers it."""
    if not (log / "checkpoint").exists():
        return None
    read = reader(str(log))
    try:
        note, vkey = read("checkpoint"), read("vkey")
        head = read_checkpoint(note.decode(), read_vkey(vkey.decode()))
        tree = Tree(head.size, read)
        for path in _tiles(head.size):
            _bytes(folder / "audit" / path, read(path))
        lines = [
            json.dumps(
                {"position": place, "entry": entry, "proof": [each.hex() for each in tree.inclusion_proof(place)]}
            )
            for place, entry in _concerning(log / "audit.jsonl", head.size, trusts)
        ]
    except (TlogError, NoteError, ValueError) as error:
        raise BundleError(f"{log}: {error}") from error
    _bytes(folder / "audit" / "checkpoint", note)
    _bytes(folder / "audit" / "vkey", vkey)
    _text(folder / ENTRIES, "".join(f"{line}\n" for line in lines))
    return head.size


def _tiles(size: int) -> Iterable[str]:
    level, width = 0, size
    while width:
        for first in range(0, width, WIDTH):
            yield tile_path(level, first // WIDTH, min(WIDTH, width - first))
        level, width = level + 1, width // WIDTH


def _concerning(file: Path, size: int, trusts: set[str]) -> Iterable[tuple[int, str]]:
    """Entries that name one of the trusts, and those that say what became of a question that did."""
    requests: set[str] = set()
    with file.open() as lines:
        for place, line in zip(range(size), lines, strict=False):
            entry = json.loads(line)
            if entry.get("trust") in trusts:
                requests.add(entry.get("request", ""))
            elif entry.get("request") not in requests:
                continue
            yield place, line.removesuffix("\n")


def _listed(folder: Path) -> Iterable[BundleFile]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != UNFINISHED:
            yield BundleFile(path=str(path.relative_to(folder)), size_bytes=path.stat().st_size, sha256=digest(path))


def _packed(folder: Path, out: Path) -> None:
    fresh = out.with_name(f".{out.name}.packing")
    try:
        with tarfile.open(fresh, "w") as archive:
            archive.add(folder, arcname=".")
        synced(fresh)
        fresh.rename(out)
    finally:
        fresh.unlink(missing_ok=True)


def _text(path: Path, text: str) -> None:
    _bytes(path, text.encode())


def _bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    synced(path)
