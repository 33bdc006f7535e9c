"""A witness over HTTP: `POST /add-checkpoint` of C2SP tlog-witness, its status codes and nothing else."""

import base64
import binascii
from datetime import UTC, datetime

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from commonweal.checkpoints import MAX_NOTE_BYTES, NoteError, Verdict
from data_trusts.witness import Offer, UnknownLogError, Witness, WitnessError

_MAX_PROOF_LINES = 63
_HASH_BYTES = 32


class RequestError(Exception):
    """The request is not of the protocol's form; the message says where."""


def read_offer(content: bytes) -> Offer:
    """Read the body: `old SIZE`, the proof's hashes in base64, an empty line, the checkpoint.

    Raises:
        RequestError: it is not that.
    """
    try:
        head, gap, note = content.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise RequestError("body: is not UTF-8") from None
    first, *proof = head.split("\n")
    word, _, size = first.partition(" ")
    if not gap or word != "old" or not (size.isascii() and size.isdecimal()) or str(int(size[:19])) != size:
        raise RequestError("body: does not begin with `old SIZE` and end its proof with an empty line")
    if len(proof) > _MAX_PROOF_LINES:
        raise RequestError(f"proof: has {len(proof)} lines; at most {_MAX_PROOF_LINES} are allowed")
    try:
        hashes = tuple(base64.b64decode(line, validate=True) for line in proof)
    except binascii.Error:
        raise RequestError("proof: a line is not base64") from None
    if any(len(each) != _HASH_BYTES for each in hashes):
        raise RequestError("proof: a hash is not 32 bytes")
    return Offer(note=note, old_size=int(size), proof=hashes)


def app(witness: Witness) -> Starlette:
    """The ASGI application."""

    async def add_checkpoint(request: Request) -> Response:
        content = b""
        async for part in request.stream():
            content += part
            if len(content) > MAX_NOTE_BYTES:
                return PlainTextResponse("body: is too long\n", status_code=413)
        return await run_in_threadpool(_answer, witness, content)

    return Starlette(routes=[Route("/add-checkpoint", add_checkpoint, methods=["POST"])])


def _answer(witness: Witness, content: bytes) -> Response:
    try:
        return PlainTextResponse(witness.cosign(read_offer(content), datetime.now(UTC)))
    except WitnessError as error:
        return _refusal(error)
    except (RequestError, UnknownLogError, NoteError) as error:
        return PlainTextResponse(f"{error}\n", status_code=_STATUS[type(error)])


_STATUS: dict[type[Exception], int] = {RequestError: 400, UnknownLogError: 404, NoteError: 403}


def _refusal(error: WitnessError) -> Response:
    if error.old_size > error.offered_size:
        return PlainTextResponse(f"old: {error.old_size} is above the checkpoint's size\n", status_code=400)
    if error.verdict is Verdict.UNPROVEN:
        return PlainTextResponse(f"{error}\n", status_code=422)
    return PlainTextResponse(f"{error.seen_size}\n", status_code=409, media_type="text/x.tlog.size")


def serve(witness: Witness, host: str, port: int) -> None:
    """Serve until a signal; put TLS in front where it leaves the machine."""
    uvicorn.run(app(witness), host=host, port=port, log_level="warning", server_header=False)
