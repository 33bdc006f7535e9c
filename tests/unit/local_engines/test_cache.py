"""What the cache keeps: builds that some tree named lately."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.images import workshop
from infra.local import cache

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def entry(folder: Path, name: str, unnamed_for: timedelta) -> Path:
    made = folder / name
    made.mkdir()
    (made / "program").touch()
    at = (NOW - unnamed_for).timestamp()
    os.utime(made, (at, at))
    return made


@pytest.mark.parametrize(
    ("unnamed_for", "stays"),
    [(timedelta(0), True), (cache.KEPT_FOR, True), (cache.KEPT_FOR + timedelta(seconds=1), False)],
)
def test_a_build_stays_while_some_tree_named_it_lately(tmp_path: Path, unnamed_for: timedelta, stays: bool) -> None:
    one = entry(tmp_path, "kube-0123456789abcdef", unnamed_for)
    assert cache.prune(tmp_path, NOW) == ([] if stays else [one])
    assert one.exists() == stays


def test_what_bears_a_builds_name_goes_with_it_and_a_lock_stays(tmp_path: Path) -> None:
    entry(tmp_path, "pause-old", timedelta(days=30))
    entry(tmp_path, "pause-new", timedelta(days=1))
    for name in ("pause-old.tar", "pause-old.tar.digest", "pause-new.tar", "kube.lock"):
        (tmp_path / name).touch()
    cache.prune(tmp_path, NOW)
    assert {path.name for path in tmp_path.iterdir()} == {"pause-new", "pause-new.tar", "kube.lock"}


def test_a_cache_that_is_not_there_holds_nothing_to_remove(tmp_path: Path) -> None:
    assert cache.prune(tmp_path / "engines", NOW) == []


def test_a_layer_is_named_each_time_it_is_asked_for(tmp_path: Path) -> None:
    old = entry(tmp_path, "code-0123456789abcdef", timedelta(days=30))
    assert workshop.make_once(old, lambda _: pytest.fail("it is there")) == old
    assert cache.prune(tmp_path, datetime.now(UTC)) == []
