"""`python -m data_trusts.witness`: a second pair of eyes on another member's log.

It keeps the last checkpoint that it saw of each log, and cosigns a later one only if the log proves that nothing before
it was changed (C2SP tlog-witness, tlog-cosignature). A log that cannot is kept as evidence: two signed checkpoints, and
where its own tiles show it, a proof that they are two histories. One folder holds all: key, one folder for each log.
"""

import argparse
import base64
import fcntl
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from commonweal.checkpoints import (
    Checkpoint,
    NoteError,
    Verdict,
    Verifier,
    cosign,
    cosigner_verifier,
    judge,
    read_checkpoint,
    read_vkey,
)
from commonweal.tiles import Edge, TileError, Tree, bundle_paths, entries_of
from commonweal.transparency import leaf_hash, root, verify_consistency
from data_trusts.ports import port
from data_trusts.tlog import CHECKPOINT, Read, TlogError, own_key, reader, write_durably


class WitnessError(Exception):
    """The witness does not cosign; the message says why and what to do."""

    def __init__(self, verdict: Verdict, offered: Checkpoint, old_size: int, seen_size: int) -> None:
        super().__init__(f"{offered.origin}: {_MEANING[verdict]} ({seen_size} seen, {offered.size} offered)")
        self.verdict = verdict
        self.offered_size = offered.size
        self.old_size = old_size
        self.seen_size = seen_size


class UnknownLogError(Exception):
    """No log of that name was added."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A checkpoint as its log signed it, and what should prove it."""

    note: str
    old_size: int
    proof: tuple[bytes, ...]


class Witness:
    """The folder of one witness."""

    def __init__(self, folder: Path, name: str) -> None:
        """Open it, and make its key if it has none.

        Raises:
            TlogError: the key cannot be read.
            NoteError: the name cannot stand in a signature line.
        """
        self._folder = folder
        self._name = name
        self._key = own_key(folder / "key.pem")
        self.verifier = cosigner_verifier(name, self._key)

    def add(self, vkey: str) -> Verifier:
        """Watch one more log.

        Raises:
            NoteError: it is no key of a log.
            UnknownLogError: another key was added for the log of that name.
        """
        log = read_vkey(vkey)
        kept = self._of(log.name) / "vkey"
        if kept.exists() and kept.read_text("utf-8").strip() != log.vkey():
            raise UnknownLogError(f"{log.name}: another key is known; if the log truly has a new one, remove {kept}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_durably(kept, f"{log.vkey()}\n".encode())
        return log

    def log(self, origin: str) -> Verifier:
        """The key of a log that was added.

        Raises:
            UnknownLogError: there is none of that name.
        """
        kept = self._of(origin) / "vkey"
        if not kept.exists():
            raise UnknownLogError(f"{origin}: is not watched here; add its vkey first")
        return read_vkey(kept.read_text("utf-8"))

    def seen(self, origin: str) -> Checkpoint | None:
        """The last checkpoint that was cosigned."""
        note = self._of(origin) / CHECKPOINT
        return read_checkpoint(note.read_text("utf-8"), self.log(origin)) if note.exists() else None

    def cosign(self, offer: Offer, now: datetime) -> str:
        """Judge an offered checkpoint; keep and cosign it, or refuse.

        Raises:
            UnknownLogError: the log was not added.
            NoteError: it is no checkpoint, or not signed by its log.
            WitnessError: it does not follow from what was seen; its note is kept as evidence.
        """
        origin = offer.note.partition("\n")[0]
        log = self.log(origin)
        offered = read_checkpoint(offer.note, log)
        with self._alone(origin):
            seen = self.seen(origin)
            verdict = judge(seen, offered, offer.old_size, offer.proof)
            if verdict is not Verdict.CONSISTENT:
                if verdict is not Verdict.STALE:
                    self.keep_evidence(origin, {"verdict": verdict.value, "offered": offer.note})
                raise WitnessError(verdict, offered, offer.old_size, seen.size if seen else 0)
            line = cosign(offered, self._name, self._key, int(now.timestamp()))
            write_durably(self._of(origin) / CHECKPOINT, f"{offer.note}{line}".encode())
            return line

    def keep_evidence(self, origin: str, evidence: dict[str, str | int | list[str]]) -> Path:
        """Keep what a log signed against itself; the same evidence is kept once."""
        seen = self._of(origin) / CHECKPOINT
        kept = {**evidence, "seen": seen.read_text("utf-8") if seen.exists() else ""}
        content = json.dumps(kept, indent=2, sort_keys=True).encode()
        path = self._of(origin) / "evidence" / f"{hashlib.sha256(content).hexdigest()[:16]}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content)
        return path

    @contextmanager
    def _alone(self, origin: str) -> Iterator[None]:
        """Two requests at once must not both pass against the same last checkpoint."""
        with (self._of(origin) / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _of(self, origin: str) -> Path:
        return self._folder / "logs" / hashlib.sha256(origin.encode()).hexdigest()[:16]


_MEANING = {
    Verdict.STALE: "the proof does not start from what was seen last; read the log again",
    Verdict.ROLLED_BACK: "the log is shorter than it was; entries were cut off",
    Verdict.FORKED: "the log shows another history of the same length; an entry was changed",
    Verdict.UNPROVEN: "the log cannot prove that what was seen is still in it; an entry was changed, moved or dropped",
}


_BAD_TILES = "its tiles do not add up to its checkpoint; a tile was changed, or read it again"


def look(witness: Witness, origin: str, read: Read, now: datetime) -> str:
    """Fetch a log's checkpoint, prove it from its tiles, and cosign it.

    Returns:
        The cosignature line.

    Raises:
        WitnessError: the log does not continue what was seen; the evidence is kept.
        TlogError: the log's files cannot be read, or contradict its own checkpoint.
        NoteError: the checkpoint is not what the log signed.
    """
    note = _text(read(CHECKPOINT))
    offered = read_checkpoint(note, witness.log(origin))
    seen = witness.seen(origin)
    tree = Tree(offered.size, read)
    _true_to_checkpoint(tree, offered)
    old_size = seen.size if seen and seen.size <= offered.size else 0
    proof = tree.consistency_proof(old_size) if 0 < old_size < offered.size else ()
    prefix = tree.root(0, old_size)
    if proof and not verify_consistency(old_size, offered.size, prefix, offered.root, proof):
        raise TlogError(f"{origin}: {_BAD_TILES}")
    try:
        return witness.cosign(Offer(note=note, old_size=old_size, proof=proof), now)
    except WitnessError as refused:
        if refused.verdict is Verdict.UNPROVEN:
            # The log signed the root that its own prefix leads to, and another one before: that convicts it.
            shown = [base64.b64encode(each).decode() for each in (prefix, *proof)]
            witness.keep_evidence(
                origin,
                {"verdict": Verdict.FORKED.value, "offered": note, "prefix_root": shown[0], "proof": shown[1:]},
            )
        raise


def check_entries(log: Verifier, read: Read) -> Checkpoint:
    """Read every entry of a log and compare it with the tiles and the checkpoint.

    Raises:
        TlogError: an entry is not what was signed.
        NoteError: the checkpoint is not what the log signed.
    """
    offered = read_checkpoint(_text(read(CHECKPOINT)), log)
    tree = Tree(offered.size, read)
    _true_to_checkpoint(tree, offered)
    edge = Edge()
    for path, (start, end) in bundle_paths(offered.size):
        try:
            hashes = [leaf_hash(each) for each in entries_of(read(path))]
        except TileError as error:
            raise TlogError(f"{path}: {error}") from error
        if root(hashes) != tree.root(start, end):
            raise TlogError(f"{path}: an entry is not what was signed; compare entries {start} to {end - 1}")
        edge, tiles = edge.extended(hashes)
        _compare(tiles, read)
    _compare(edge.partial(), read)
    return offered


def _compare(tiles: Mapping[str, bytes], read: Read) -> None:
    for path, content in tiles.items():
        if read(path) != content:
            raise TlogError(
                f"{path}: is not what the entries below it come to; the log writes it again at its next start"
            )


def _true_to_checkpoint(tree: Tree, offered: Checkpoint) -> None:
    try:
        if tree.root(0, offered.size) == offered.root:
            return
    except TileError as error:
        raise TlogError(f"{offered.origin}: {error}") from error
    raise TlogError(
        f"{offered.origin}: its tiles do not add up to its checkpoint; a tile was changed, or read it again"
    )


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise NoteError("checkpoint: is not UTF-8; fetch it again") from None


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_trusts.witness", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the witness's own folder")
    parser.add_argument("--name", required=True, help="its name in cosignatures, as in ke.example/witness")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("key", help="print the witness's public key")
    add = verbs.add_parser("add", help="watch a log from now on")
    add.add_argument("vkey", help="the log's public key, NAME+ID+KEY; its audit folder holds it in the file vkey")
    for verb, what in (("look", "cosign a log's newest checkpoint"), ("verify", "read every entry of a log")):
        each = verbs.add_parser(verb, help=what)
        each.add_argument("origin", help="the log's name")
        each.add_argument("log", help="its https address or its folder")
        each.add_argument("--certificate", type=Path, help="PEM that the address must show")
    serve = verbs.add_parser("serve", help="cosign what logs send (C2SP tlog-witness)")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=port, default=8480)
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace) -> str:
    witness = Witness(arguments.folder, arguments.name)
    if arguments.verb == "key":
        return witness.verifier.vkey()
    if arguments.verb == "add":
        log = witness.add(arguments.vkey)
        return f"watching {log.name}"
    if arguments.verb == "serve":
        from data_trusts.witness_server import serve  # noqa: PLC0415 -- it needs a web server, the other verbs do not

        serve(witness, arguments.host, arguments.port)
        return "stopped"
    read = reader(arguments.log, arguments.certificate)
    if arguments.verb == "verify":
        checked = check_entries(witness.log(arguments.origin), read)
        return f"{checked.size} entries of {checked.origin} are as they were signed"
    return look(witness, arguments.origin, read, datetime.now(UTC)).rstrip("\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; 1 where the log is not what it was or cannot be read, with one sentence."""
    try:
        result = _run(_arguments(argv))
    except (WitnessError, UnknownLogError, TlogError, NoteError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{result}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
