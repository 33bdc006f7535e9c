"""A Merkle log as a folder or an address of files: tiles, bundles and a signed checkpoint (C2SP tlog-tiles).

What is published is derived from a log's entries, so a file that is lost is written again; a checkpoint is signed after
its tiles lie there.
"""

import os
import shutil
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from commonweal.checkpoints import Checkpoint, NoteError, log_verifier, read_checkpoint, sign
from commonweal.tiles import WIDTH, Edge, bundle, bundle_path, entries_of
from commonweal.transparency import Frontier, leaf_hash

CHECKPOINT = "checkpoint"
Read = Callable[[str], bytes]


class TlogError(Exception):
    """A log's files cannot be read or are not as signed; the message says which and what to do."""


def own_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key in a file, made there if there is none.

    Raises:
        TlogError: the file holds no such key.
    """
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key
    try:
        loaded = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise TlogError(f"{path}: holds no PEM key ({error}); restore it from the backup") from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise TlogError(f"{path}: holds no Ed25519 key; restore it from the backup")
    return loaded


def write_durably(path: Path, content: bytes) -> None:
    """Put a file in its place, whole or not at all, and still there after a loss of power; only its owner reads it."""
    fresh = path.with_name(f"{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A new name in a folder is only there after a crash when the folder is synced too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Publication:
    """The public files of one log, in one folder, written by one process; without `bundles` its entries are not."""

    def __init__(self, folder: Path, origin: str, *, bundles: bool = True) -> None:
        """Find the key and the last checkpoint, if there are any.

        Raises:
            TlogError: the checkpoint is not what this key signed, or the key is gone and the checkpoint is not.
        """
        self._folder = folder
        self._bundles = bundles
        checkpoint, key = folder / CHECKPOINT, folder / "key.pem"
        if checkpoint.exists() and not key.exists():
            raise TlogError(f"{key}: is gone; restore it, or move {folder} away and tell the witnesses why")
        self._key = own_key(key)
        self.verifier = log_verifier(origin, self._key)
        self.signed: Checkpoint | None = None
        if checkpoint.exists():
            try:
                self.signed = read_checkpoint(checkpoint.read_text("utf-8"), self.verifier)
            except (NoteError, UnicodeDecodeError) as error:
                raise TlogError(f"{checkpoint}: {error}") from error
        self._frontier = Frontier()
        self._edge = Edge()
        self._tail: list[bytes] = []  # the entries of the partial bundle
        (folder / "vkey").write_text(f"{self.verifier.vkey()}\n")

    @property
    def head(self) -> Checkpoint:
        """What the entries added so far come to; not signed yet."""
        return Checkpoint(origin=self.verifier.name, size=self._frontier.size, root=self._frontier.root())

    def add(self, entries: Sequence[bytes]) -> None:
        """Take the next entries, and write the files that they fill."""
        hashes = [leaf_hash(entry) for entry in entries]
        self._frontier = self._frontier.extended(hashes)
        self._edge, tiles = self._edge.extended(hashes)
        for path, content in tiles.items():
            self._write_full(path, content)
        if self._bundles:
            self._bundle(entries)

    def _bundle(self, entries: Sequence[bytes]) -> None:
        rows = [*self._tail, *entries]
        first = (self._frontier.size - len(rows)) // WIDTH
        whole = len(rows) // WIDTH
        for place in range(whole):
            self._write_full(bundle_path(first + place), bundle(rows[place * WIDTH : (place + 1) * WIDTH]))
        self._tail = rows[whole * WIDTH :]

    def publish(self) -> None:
        """Write the partial files, then sign and write the checkpoint."""
        files = self._edge.partial()
        if self._tail:
            files[bundle_path(self._frontier.size // WIDTH, len(self._tail))] = bundle(self._tail)
        for path, content in files.items():
            self._write(path, content)
        head = self.head
        write_durably(self._folder / CHECKPOINT, sign(head, self._key).encode())
        self.signed = head

    def _write_full(self, path: str, content: bytes) -> None:
        self._write(path, content)
        shutil.rmtree(self._folder / f"{path}.p", ignore_errors=True)

    def _write(self, path: str, content: bytes) -> None:
        file = self._folder / path
        if file.exists() and file.read_bytes() == content:
            return
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = file.with_name(f"{file.name}.new")
        fresh.write_bytes(content)
        fresh.replace(file)


def reader(prefix: str, certificate: Path | None = None) -> Read:
    """Return what reads a log's files below an https address or in a folder.

    Args:
        prefix: `https://HOST:PORT/PATH`, or a folder.
        certificate: the PEM that the address must show, where no public authority signed it.
    """
    read = _over_https(prefix, certificate) if "://" in prefix else _in_folder(Path(prefix))

    def read_or_cut(path: str) -> bytes:
        """A partial file may be gone once the full one is there, which begins with the same."""
        whole, partial, width = path.partition(".p/")
        try:
            return read(path)
        except TlogError:
            if not partial:
                raise
        content = read(whole)
        if whole.startswith("tile/entries/"):
            return bundle(entries_of(content)[: int(width)])
        return content[: int(width) * 32]

    return read_or_cut


def _in_folder(folder: Path) -> Read:
    def read(path: str) -> bytes:
        try:
            return (folder / path).read_bytes()
        except OSError as error:
            raise TlogError(f"{folder / path}: {error.strerror}; is {folder} the log's folder?") from error

    return read


def _over_https(prefix: str, certificate: Path | None) -> Read:
    client = httpx.Client(base_url=f"{prefix.rstrip('/')}/", timeout=30, trust_env=False, verify=_context(certificate))

    def read(path: str) -> bytes:
        try:
            answer = client.get(path)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise TlogError(f"{prefix}/{path}: {error}; is the log's gateway up?") from error
        return answer.content

    return read


def _context(certificate: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)
