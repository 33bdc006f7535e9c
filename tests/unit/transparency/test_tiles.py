"""A log read from its tiles proves the same as one held in memory, for every size around a tile's edge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.tiles import Edge, TileError, Tree, bundle, bundle_path, bundle_paths, entries_of, tile_path
from commonweal.transparency import consistency_proof, inclusion_proof, leaf_hash, root

HASHES = [leaf_hash(number.to_bytes(4)) for number in range(1100)]
BIG = [leaf_hash(number.to_bytes(4)) for number in range(70_000)]


def published(hashes: list[bytes], *cuts: int) -> dict[str, bytes]:
    """The files of a log that grew in several steps; partial tiles of its last size only."""
    files: dict[str, bytes] = {}
    edge, before = Edge(), 0
    for cut in (*cuts, len(hashes)):
        edge, tiles = edge.extended(hashes[before:cut])
        files |= tiles
        before = cut
    return files | edge.partial()


def test_paths_are_as_the_specification_writes_them() -> None:
    assert tile_path(0, 1_234_067) == "tile/0/x001/x234/067"
    assert tile_path(2, 0, 1) == "tile/2/000.p/1"
    assert bundle_path(1000, 17) == "tile/entries/x001/000.p/17"


def test_a_tree_of_70_000_has_the_tiles_that_the_specification_names() -> None:
    files = published(BIG)
    assert sum(path.startswith("tile/0/") and ".p/" not in path for path in files) == 273
    partial = sorted(path for path in files if ".p/" in path)
    assert partial == ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
    assert "tile/1/000" in files
    assert Tree(70_000, files.__getitem__).root(0, 70_000) == root(BIG)


@given(size=st.sampled_from([1, 2, 255, 256, 257, 511, 512, 513, 1100]), data=st.data())
def test_tiles_prove_what_memory_proves(size: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=3)))
    tree = Tree(size, published(HASHES[:size], *cuts).__getitem__)
    assert tree.root(0, size) == root(HASHES[:size])
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert tree.inclusion_proof(index) == inclusion_proof(HASHES[:size], index)
    assert tree.consistency_proof(old) == consistency_proof(HASHES[:size], old)


def test_a_tile_of_another_length_is_refused() -> None:
    files = published(HASHES[:300])
    short = {path: content[:-1] for path, content in files.items()}
    with pytest.raises(TileError, match=r"tile/1/000.p/1: has 31 bytes, not 32"):
        Tree(300, short.__getitem__).root(0, 300)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_reads_back_as_written(entries: list[bytes]) -> None:
    assert entries_of(bundle(entries)) == tuple(entries)


def test_a_cut_bundle_and_an_entry_too_long_are_refused() -> None:
    with pytest.raises(TileError, match="ends within entry 1"):
        entries_of(bundle([b"one", b"two"])[:-1])
    with pytest.raises(TileError, match="has 65536 bytes"):
        bundle([bytes(65_536)])


def test_every_entry_stands_in_one_bundle() -> None:
    spans = list(bundle_paths(600))
    assert [span for _, span in spans] == [(0, 256), (256, 512), (512, 600)]
    assert spans[-1][0] == "tile/entries/002.p/88"
    assert list(bundle_paths(0)) == []
