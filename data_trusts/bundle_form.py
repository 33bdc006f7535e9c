"""What a bundle is: a folder of tables, contracts, receipts and audit proofs under one signed list of all its files.

`bundle.json` lists every file with its SHA-256 and is signed by the gateway of the member that left; whoever has that
gateway's certificate from the hub can check a bundle without asking anyone. Nothing here writes.
"""

import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.metadata import TableMetadata

from commonweal.checkpoints import NoteError, read_checkpoint, read_vkey
from commonweal.kinds.meta import Count, MemberName, Model, Name, Sha256, SqlName
from commonweal.transparency import leaf_hash, verify_inclusion
from data_trusts.relocation import LocatedIO
from data_trusts.signed import SignedError, opened
from data_trusts.table_files import address_of, addresses_of, path_of

KIND: Final = "TrustBundle"
MANIFEST = "bundle.json"
ENTRIES = "audit/entries.jsonl"
_BLOCK = 1 << 20


class BundleError(Exception):
    """A bundle is not what its list says, or cannot be made or taken in; the message says where and what to do."""


class BundleFile(Model):
    """One file of a bundle."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    size_bytes: Count
    sha256: Sha256


class BundleTable(Model):
    """One table of a bundle; `metadata` is its metadata file, and no snapshot means no row."""

    trust: Name
    dataset: SqlName
    metadata: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    table_uuid: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")]
    snapshot_id: int | None = None
    rows: Count

    @property
    def name(self) -> str:
        """As messages and SQL call it."""
        return f"{self.trust}.{self.dataset}"

    @property
    def root(self) -> str:
        """The folder of the table below the bundle's."""
        return f"tables/{self.trust}/{self.dataset}"


class Bundle(Model):
    """The signed list; `root` is the address that the tables' metadata begins with."""

    kind: Literal["TrustBundle"] = KIND
    version: Literal[1] = 1
    member: MemberName
    exported_at: AwareDatetime
    root: Annotated[str, StringConstraints(pattern=r"^file:///[^?#%]*$", max_length=2048)]
    trusts: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
    tables: Annotated[tuple[BundleTable, ...], Field(max_length=10_000)]
    audit_size: Count | None = None
    files: tuple[BundleFile, ...]


def digest(path: Path) -> str:
    """The SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def unpacked(place: Path) -> Iterator[Path]:
    """A bundle as a folder; a tar file is unpacked for as long as the block lasts.

    Raises:
        BundleError: the place holds no bundle.
    """
    if place.is_dir():
        yield place
        return
    if not place.is_file():
        raise BundleError(f"{place}: is not there; name the folder or tar file of a bundle")
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as scratch:
        try:
            with tarfile.open(place) as archive:
                _unpack(archive, Path(scratch))
        except tarfile.TarError as error:
            raise BundleError(f"{place}: is neither a folder nor a whole tar file; copy it again") from error
        yield Path(scratch)


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Files alone, and none outside the folder; Pythons before 3.11.4 have no filter that says so."""
    for member in archive:
        parts = PurePosixPath(member.name).parts
        content = archive.extractfile(member) if member.isfile() else None
        if content is None:
            continue
        if ".." in parts or PurePosixPath(member.name).is_absolute():
            raise BundleError(f"{member.name}: is outside the bundle; ask for another")
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file, _BLOCK)


def verified(folder: Path, certificate_pem: str) -> Bundle:
    """The list of a bundle, once every file is as listed, every table whole and every audit entry proven.

    Raises:
        BundleError: the first thing that is not so.
    """
    try:
        bundle = Bundle.model_validate(opened(json.loads((folder / MANIFEST).read_text()), certificate_pem, KIND))
    except FileNotFoundError:
        raise BundleError(f"{folder}: has no {MANIFEST}; name the folder or tar file of a whole bundle") from None
    except (SignedError, ValidationError, ValueError) as error:
        raise BundleError(f"{MANIFEST}: {str(error).splitlines()[0]}") from error
    _check_files(folder, bundle)
    listed = {each.path for each in bundle.files}
    for table in bundle.tables:
        _check_table(folder, bundle, table, listed)
    _check_audit(folder, bundle)
    return bundle


def _check_files(folder: Path, bundle: Bundle) -> None:
    listed = {each.path: each for each in bundle.files}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()} - {MANIFEST}
    for problem, names in (("is missing", listed.keys() - there), ("is not in the list", there - listed.keys())):
        if names:
            raise BundleError(f"{min(names)}: {problem}; copy the bundle again")
    for path, each in listed.items():
        if (folder / path).is_symlink() or digest(folder / path) != each.sha256:
            raise BundleError(f"{path}: is not as it was signed; copy the bundle again")


def located(folder: Path, bundle: Bundle, address: str) -> Path:
    """Where an address of the bundle's tables lies now, wherever the bundle was carried.

    Raises:
        BundleError: the address is outside the bundle.
    """
    root, inside = path_of(bundle.root), path_of(address)
    if not inside.is_relative_to(root) or ".." in inside.parts:
        raise BundleError(f"{address}: a table names a file outside its bundle; ask for another")
    return folder / inside.relative_to(root)


def metadata_of(folder: Path, table: BundleTable) -> TableMetadata:
    """A table's metadata.

    Raises:
        BundleError: it cannot be read.
    """
    path = folder / table.metadata
    try:
        return FromInputFile.table_metadata(LocatedIO(lambda _: path).new_input(address_of(path)))
    except (ValueError, OSError) as error:
        raise BundleError(f"{table.metadata}: cannot be read ({str(error).splitlines()[0]}); export again") from error


def state_of(metadata: TableMetadata) -> tuple[str, int | None]:
    """What tells a table's state from every other: its UUID and its current snapshot."""
    snapshot = metadata.current_snapshot()
    return str(metadata.table_uuid), snapshot.snapshot_id if snapshot else None


def _check_table(folder: Path, bundle: Bundle, table: BundleTable, listed: Set[str]) -> None:
    metadata = metadata_of(folder, table)
    if state_of(metadata) != (table.table_uuid, table.snapshot_id):
        raise BundleError(f"{table.metadata}: is of another table or state than {MANIFEST} says; export again")
    snapshot = metadata.current_snapshot()
    if snapshot is None:
        return
    try:
        named = addresses_of([snapshot], LocatedIO(lambda address: located(folder, bundle, address)))
    except OSError as error:
        raise BundleError(f"{table.name}: {str(error).splitlines()[0]}; export again") from error
    for address in named:
        if str(located(folder, bundle, address).relative_to(folder)) not in listed:
            raise BundleError(f"{table.name}: names {address}, which is not in the bundle; export again")


def _check_audit(folder: Path, bundle: Bundle) -> None:
    if bundle.audit_size is None:
        return
    try:
        log = read_vkey((folder / "audit" / "vkey").read_text())
        head = read_checkpoint((folder / "audit" / "checkpoint").read_text(), log)
    except (NoteError, OSError) as error:
        raise BundleError(f"audit/checkpoint: {error}") from error
    if head.size != bundle.audit_size:
        raise BundleError(f"audit/checkpoint: is of {head.size} entries, not {bundle.audit_size}; export again")
    with (folder / ENTRIES).open() as lines:
        for line in lines:
            proven = json.loads(line)
            leaf, proof = leaf_hash(proven["entry"].encode()), [bytes.fromhex(each) for each in proven["proof"]]
            if not verify_inclusion(leaf, proven["position"], head.size, proof, head.root):
                raise BundleError(f"{ENTRIES}: entry {proven['position']} is not in the log that was signed")
