"""Which files a dataset has taken in, for longer than its snapshots say so.

A snapshot carries the digest of the file that it added. Before snapshots are dropped, their digests are kept here, or
the same file could come in twice, and an erased row come back.
"""

import re
from collections.abc import Set
from pathlib import Path

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from data_trusts.tlog import write_durably

FILE_DIGEST = "commonweal.file-sha256"
_DIGEST = re.compile(r"[0-9a-f]{64}")


def path_for(folder: Path, trust: str, dataset: str) -> Path:
    """The file of digests of one dataset, one a line, below a member's data folder."""
    return folder / "taken" / f"{trust}.{dataset}"


def digest_of(snapshot: Snapshot) -> str | None:
    """The digest of the file that a snapshot added, or None where it added none."""
    return snapshot.summary.additional_properties.get(FILE_DIGEST) if snapshot.summary else None


def kept(path: Path) -> set[str]:
    """The digests that a file of digests holds; a line that a crash cut short counts for nothing."""
    return set(_DIGEST.findall(path.read_text())) if path.exists() else set()


def known(folder: Path, table: Table, trust: str, dataset: str) -> set[str]:
    """The digests of all files that a dataset has taken in, below a member's data folder and in its snapshots."""
    return _in_snapshots(table) | kept(path_for(folder, trust, dataset))


def keep(folder: Path, table: Table, trust: str, dataset: str) -> None:
    """Write down the digests of all snapshots of a table, durably, so that the snapshots may go."""
    add(path_for(folder, trust, dataset), _in_snapshots(table))


def add(path: Path, digests: Set[str]) -> None:
    """Add digests, durably; nothing is written where all are there."""
    before = kept(path)
    if digests <= before:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path, "".join(f"{digest}\n" for digest in sorted(before | digests)).encode())


def _in_snapshots(table: Table) -> set[str]:
    return {digest for snapshot in table.snapshots() if (digest := digest_of(snapshot))}
