"""HTTP beside the pages: every figure as CSV and JSON, and headers under which a browser asks no other host."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.figures import Figure, as_csv, as_json, file_name
from dashboards.public_document import PublicDocument
from dashboards.sources import QUESTIONS, public_document, view_of

WRITERS = {"csv": (as_csv, "text/csv; charset=utf-8"), "json": (as_json, "application/json")}
# Vega compiles its expressions and Streamlit writes styles, hence the two unsafe words; neither reaches another host.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class HomeOnly:
    """ASGI middleware that puts HEADERS on every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; add the headers where a response starts."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def data(request: Request) -> Response:
    """Answer GET /data/{page}/{figure}.{csv,json} with what the page shows for the same parameters."""
    page, key, extension = (request.path_params[name] for name in ("page", "figure", "extension"))
    if page not in QUESTIONS or extension not in WRITERS:
        pages = ", ".join(QUESTIONS)
        return PlainTextResponse(f"{request.url.path}: give one of {pages}, and csv or json\n", status_code=404)
    view = view_of(page, request.query_params)
    figure = view.figure(key)
    if figure is None:
        keys = ", ".join(one.key for one in view.figures) or f"none now: {view.answer}"
        return PlainTextResponse(f"{key}: no figure of {page}; its figures are {keys}\n", status_code=404)
    return _download(figure, extension)


def public(_: Request) -> Response:
    """Answer GET /public.json with all that the page says, as one document."""
    found = public_document()
    if found is None:
        return PlainTextResponse("the hub has not answered yet; ask again in a few seconds\n", status_code=503)
    return Response(found.model_dump_json(by_alias=True), media_type="application/json")


def public_schema(_: Request) -> Response:
    """Answer GET /public.schema.json with the JSON schema of that document."""
    return JSONResponse(PublicDocument.model_json_schema(by_alias=True, mode="serialization"))


def _download(figure: Figure, extension: str) -> Response:
    write, media_type = WRITERS[extension]
    disposition = f'attachment; filename="{file_name(figure, extension)}"'
    return Response(write(figure), media_type=media_type, headers={"Content-Disposition": disposition})
