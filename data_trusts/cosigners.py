"""Sends a log's checkpoints to its witnesses (C2SP tlog-witness `add-checkpoint`) and keeps what they cosign.

Answers never wait for it: a witness that is away is counted, and asked again. What each witness cosigned last lies in
`witnessed/<key id>` beside the checkpoint, as a note that holds the checkpoint and the cosignature.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from commonweal.checkpoints import NoteError, Verifier, cosigned_at, read_checkpoint, read_vkey
from commonweal.tiles import TileError, Tree
from data_trusts.tlog import CHECKPOINT, TlogError, reader, write_durably

WITNESSED = "witnessed"
INTERVAL_S = 10.0
FRESH = timedelta(hours=1)  # a cosignature says when the witness looked, so a quiet log is shown again
_TIMEOUT_S = 5.0
_MAX_ANSWER = 8192
_LOG = logging.getLogger(__name__)


class CosignerError(Exception):
    """A witness did not cosign, or is configured wrongly; the message says which and what to do."""


@dataclass(frozen=True, kw_only=True)
class Cosigner:
    """A witness: its public key, and the address below which it takes checkpoints."""

    verifier: Verifier
    url: str

    @property
    def file(self) -> str:
        """Where its last cosignature lies, below the log."""
        return f"{WITNESSED}/{self.verifier.key_id.hex()}"


def read_cosigners(text: str) -> tuple[Cosigner, ...]:
    """Read pairs of a witness's vkey and its address, all separated by white space.

    Raises:
        CosignerError: a part is missing, is no key of a witness or no address, or a witness is named twice.
    """
    parts = text.split()
    if len(parts) % 2:
        raise CosignerError(f"witnesses: {parts[-1]} stands alone; give each witness as VKEY ADDRESS")
    found: list[Cosigner] = []
    for vkey, url in zip(parts[::2], parts[1::2], strict=True):
        try:
            verifier = read_vkey(vkey)
        except NoteError as error:
            raise CosignerError(f"witnesses: {vkey}: {error}") from error
        if not verifier.cosigns:
            raise CosignerError(f"witnesses: {verifier.name}: is the key of a log; `witness key` prints the witness's")
        if not _is_address(url):
            raise CosignerError(f"witnesses: {url} is no address; give {verifier.name} as VKEY https://HOST:PORT")
        found.append(Cosigner(verifier=verifier, url=url.rstrip("/")))
    ids = [each.verifier.key_id for each in found]
    if len(set(ids)) < len(ids):
        raise CosignerError("witnesses: one of them is named twice; name each once")
    return tuple(found)


def _is_address(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parts.scheme in {"https", "http"} and bool(parts.host) and (parts.port or 1) < 65_536


def offer_body(old_size: int, proof: Sequence[bytes], note: str) -> bytes:
    """Return the body of `add-checkpoint`: the size that the witness saw last, the proof from it, the checkpoint."""
    lines = "".join(f"{base64.b64encode(each).decode()}\n" for each in proof)
    return f"old {old_size}\n{lines}\n{note}".encode()


@dataclass
class Standing:
    """How far one witness has come: size and time of its last cosignature, and how often it failed since the start."""

    size: int = 0
    at: int = 0
    failures: int = 0
    problem: str = ""


class Cosigners:
    """Everything that a log's witnesses said, kept in the log's folder; `run` keeps it fresh."""

    def __init__(
        self, folder: Path, log: Verifier, cosigners: Sequence[Cosigner], clock: Callable[[], datetime]
    ) -> None:
        """Read what is kept. A file that does not hold is as none: the witness is asked again.

        Args:
            folder: the log's, with its checkpoint and tiles.
            log: verifies the log's own checkpoints.
            cosigners: whom to ask.
            clock: for the age of cosignatures.
        """
        self._folder = folder
        self._log = log
        self._cosigners = tuple(cosigners)
        self._clock = clock
        self._standings = {each.verifier.key_id: self._kept(each) for each in self._cosigners}

    @property
    def standings(self) -> Mapping[str, Standing]:
        """By the witness's name, how far it has come."""
        return {each.verifier.name: self._standings[each.verifier.key_id] for each in self._cosigners}

    def notes(self) -> list[tuple[Verifier, str]]:
        """Every witness that has cosigned, with the note that shows it."""
        paths = ((each.verifier, self._folder / each.file) for each in self._cosigners)
        return [(verifier, path.read_text("utf-8")) for verifier, path in paths if path.is_file()]

    async def run(self) -> None:
        """Send whatever is new to every witness, until cancelled."""
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            while True:
                await self.send_all(client)
                await asyncio.sleep(INTERVAL_S)

    async def send_all(self, client: httpx.AsyncClient) -> None:
        """One round: every witness at once, so that one that is away delays none of the others."""
        await asyncio.gather(*(self._send_or_count(client, each) for each in self._cosigners))

    async def _send_or_count(self, client: httpx.AsyncClient, cosigner: Cosigner) -> None:
        standing = self._standings[cosigner.verifier.key_id]
        try:
            await self._send(client, cosigner, standing)
        except (CosignerError, NoteError, TlogError, TileError, OSError) as error:
            standing.failures += 1
            if standing.problem != str(error):
                _LOG.warning("witness %s: %s", cosigner.verifier.name, error)
            standing.problem = str(error)
        else:
            standing.problem = ""

    async def _send(self, client: httpx.AsyncClient, cosigner: Cosigner, standing: Standing) -> None:
        note = (self._folder / CHECKPOINT).read_text("utf-8")
        size = read_checkpoint(note, self._log).size
        fresh = self._clock().timestamp() - standing.at < FRESH.total_seconds()
        if size == standing.size and fresh:
            return
        status, answer = await self._offer(client, cosigner, min(standing.size, size), note, size)
        if status == httpx.codes.CONFLICT:
            status, answer = await self._offer(client, cosigner, _seen_size(answer, size), note, size)
        if status != httpx.codes.OK:
            raise CosignerError(f"answered {status}: {answer.strip()[:200]!r}; ask its operator")
        cosigned = note + answer
        at = cosigned_at(cosigned, cosigner.verifier)
        path = self._folder / cosigner.file
        path.parent.mkdir(mode=0o700, exist_ok=True)
        await asyncio.to_thread(write_durably, path, cosigned.encode())
        standing.size, standing.at = size, at

    async def _offer(
        self, client: httpx.AsyncClient, cosigner: Cosigner, old_size: int, note: str, size: int
    ) -> tuple[int, str]:
        proof = await asyncio.to_thread(self._proof, old_size, size)
        url, content = f"{cosigner.url}/add-checkpoint", b""
        try:
            async with client.stream("POST", url, content=offer_body(old_size, proof, note)) as answer:
                async for part in answer.aiter_bytes():
                    content += part
                    if len(content) > _MAX_ANSWER:
                        raise CosignerError(f"{url}: answered more than {_MAX_ANSWER} bytes; is this a witness?")
                return answer.status_code, content.decode(errors="replace")
        except httpx.HTTPError as error:
            raise CosignerError(f"{url}: {str(error) or type(error).__name__}; is it up?") from error

    def _proof(self, old_size: int, size: int) -> tuple[bytes, ...]:
        tree = Tree(size, reader(str(self._folder)))
        return tree.consistency_proof(old_size) if 0 < old_size < size else ()

    def _kept(self, cosigner: Cosigner) -> Standing:
        try:
            note = (self._folder / cosigner.file).read_text("utf-8")
            return Standing(size=read_checkpoint(note, self._log).size, at=cosigned_at(note, cosigner.verifier))
        except (OSError, UnicodeDecodeError, NoteError):
            return Standing()


def _seen_size(answer: str, size: int) -> int:
    """The size that a witness says it saw last, as 409 carries it."""
    text = answer.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise CosignerError(f"answered 409 without a size: {text[:80]!r}; is this a witness?")
    if int(text) > size:
        raise CosignerError(
            f"has seen {text} entries and this log has {size}; restore the log from its backup, entries are missing"
        )
    return int(text)


def metrics(standings: Mapping[str, Standing]) -> list[str]:
    """What a scrape sees of the witnesses."""
    shown = (
        ("commonweal_gateway_witnessed_entries", "gauge", "Entries that the witness has cosigned.", "size"),
        ("commonweal_gateway_witnessed_at_seconds", "gauge", "When the witness last cosigned, since 1970.", "at"),
        ("commonweal_gateway_witness_failures_total", "counter", "Checkpoints that it did not cosign.", "failures"),
    )
    lines: list[str] = []
    for name, kind, what, field in shown if standings else ():
        lines += [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
        lines += [f'{name}{{witness="{witness}"}} {getattr(each, field)}' for witness, each in standings.items()]
    return lines
