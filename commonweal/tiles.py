"""How a Merkle log is laid out in files that anyone can fetch and verify (C2SP tlog-tiles).

A tile is 256 consecutive hashes of one level, a bundle the 256 entries below one tile of level 0; the rightmost of each
may be partial. Where the files lie is not known here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from commonweal.transparency import EMPTY_ROOT, Span, consistency_path, inclusion_path, node_hash, root, split

WIDTH = 256
MAX_ENTRY_BYTES = 65_535  # an entry's length is two bytes in its bundle
_HEIGHT = 8
_HASH_BYTES = 32


class TileError(ValueError):
    """A file of a log is not what its name says."""


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Return the path of a tile below the log's prefix; `width` is below 256 for a partial one."""
    return _path(str(level), index, width)


def bundle_path(index: int, width: int = WIDTH) -> str:
    """Return the path of the entries below tile `index` of level 0."""
    return _path("entries", index, width)


def _path(kind: str, index: int, width: int) -> str:
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.insert(0, f"x{index % 1000:03d}")
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{kind}/{'/'.join(parts)}{partial}"


def bundle(entries: Sequence[bytes]) -> bytes:
    """Return entries as a bundle holds them.

    Raises:
        TileError: an entry is longer than a bundle can say.
    """
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise TileError(f"entry: has {len(entry)} bytes; a log's entry holds {MAX_ENTRY_BYTES}")
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def entries_of(content: bytes) -> tuple[bytes, ...]:
    """Return the entries of a bundle.

    Raises:
        TileError: it ends within an entry.
    """
    entries: list[bytes] = []
    place = 0
    while place < len(content):
        end = place + 2 + int.from_bytes(content[place : place + 2])
        if end > len(content):
            raise TileError(f"bundle: ends within entry {len(entries)}; fetch it again")
        entries.append(content[place + 2 : end])
        place = end
    return tuple(entries)


@dataclass(frozen=True)
class Edge:
    """The partial tile of every level, all that writing further tiles needs."""

    levels: tuple[tuple[bytes, ...], ...] = ()
    full: tuple[int, ...] = ()  # full tiles of each level so far

    def extended(self, hashes: Sequence[bytes]) -> tuple["Edge", dict[str, bytes]]:
        """Return the edge after these leaf hashes, and the tiles that became full, by path."""
        levels, full = list(self.levels), list(self.full)
        tiles: dict[str, bytes] = {}
        level, rising = 0, list(hashes)
        while rising:
            if level == len(levels):
                levels.append(())
                full.append(0)
            row = [*levels[level], *rising]
            whole = len(row) // WIDTH
            rising = []
            for place in range(whole):
                tile = row[place * WIDTH : (place + 1) * WIDTH]
                tiles[tile_path(level, full[level] + place)] = b"".join(tile)
                rising.append(root(tile))
            levels[level], full[level] = tuple(row[whole * WIDTH :]), full[level] + whole
            level += 1
        return Edge(levels=tuple(levels), full=tuple(full)), tiles

    def partial(self) -> dict[str, bytes]:
        """Return the tiles that are not full, by path."""
        return {
            tile_path(level, full, len(row)): b"".join(row)
            for level, (row, full) in enumerate(zip(self.levels, self.full, strict=True))
            if row
        }


def bundle_paths(size: int) -> Iterator[tuple[str, Span]]:
    """Yield every bundle of a log of `size` entries, and which entries it holds."""
    for start in range(0, size, WIDTH):
        end = min(start + WIDTH, size)
        yield bundle_path(start // WIDTH, end - start), (start, end)


class Tree:
    """A log of a given size, read from its tiles as far as a question needs them.

    Nothing that it returns is to be believed before `root(0, size)` equals a signed root.
    """

    def __init__(self, size: int, read: Callable[[str], bytes]) -> None:
        """Remember the size; `read` returns the content of a path below the log's prefix."""
        self.size = size
        self._read = read
        self._tiles: dict[str, tuple[bytes, ...]] = {}

    def root(self, start: int, end: int) -> bytes:
        """Return the root over entries `start` to `end`, a subtree of the log.

        Raises:
            TileError: a tile has another length than its place demands.
        """
        count = end - start
        if count == 0:
            return EMPTY_ROOT
        if count & (count - 1) == 0:
            return self._perfect(count.bit_length() - 1, start // count)
        middle = start + split(count)
        return node_hash(self.root(start, middle), self.root(middle, end))

    def inclusion_proof(self, index: int) -> tuple[bytes, ...]:
        """Return the proof that entry `index` is in the log."""
        return tuple(self.root(*span) for span in inclusion_path(index, self.size))

    def consistency_proof(self, old_size: int) -> tuple[bytes, ...]:
        """Return the proof that the log of `old_size` entries is a prefix of this one."""
        return tuple(self.root(*span) for span in consistency_path(old_size, self.size))

    def _perfect(self, height: int, place: int) -> bytes:
        """The root of the `place`-th subtree of 2**height leaves: some hashes of one tile."""
        level, within = divmod(height, _HEIGHT)
        first = place << within
        tile = self._tile(level, first // WIDTH)
        offset = first % WIDTH
        return root(tile[offset : offset + (1 << within)])

    def _tile(self, level: int, index: int) -> tuple[bytes, ...]:
        width = min(WIDTH, (self.size >> (_HEIGHT * level)) - index * WIDTH)
        path = tile_path(level, index, width)
        if path not in self._tiles:
            content = self._read(path)
            if len(content) != width * _HASH_BYTES:
                raise TileError(f"{path}: has {len(content)} bytes, not {width * _HASH_BYTES}; fetch it again")
            parts = range(0, len(content), _HASH_BYTES)
            self._tiles[path] = tuple(content[place : place + _HASH_BYTES] for place in parts)
        return self._tiles[path]
