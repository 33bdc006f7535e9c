"""How much of a request's body is read: no client may fill the memory of a pod."""

from starlette.requests import Request

MAX_BODY_BYTES = 64 * 1024


async def bounded_body(request: Request) -> bytes | None:
    """The body, or None where it is longer than `MAX_BODY_BYTES`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)
