"""How long the cache keeps what it holds: a build stays while some tree names it.

Several trees may share a cache, so nobody can know what all of them name. Each tree marks what it names when it names
it, and what nobody has named for two weeks goes.
"""

import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path

KEPT_FOR = timedelta(days=14)


def named(entry: Path) -> Path:
    """Mark an entry of the cache as named by the tree at hand; returns it."""
    os.utime(entry)
    return entry


def prune(folder: Path, now: datetime) -> list[Path]:
    """Remove from a folder of the cache each build that nobody named since `KEPT_FOR` before `now`; returns them.

    A build is a folder; a file that bears its name and an ending goes with it.
    """
    gone = []
    for entry in sorted(folder.iterdir()) if folder.exists() else ():
        if entry.is_dir() and now.timestamp() - entry.stat().st_mtime > KEPT_FOR.total_seconds():
            for beside in folder.glob(f"{entry.name}.*"):
                beside.unlink()
            shutil.rmtree(entry)
            gone.append(entry)
    return gone
