"""What went wrong, for people and programs: RFC 9457 problem details that name field and remedy."""

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.responses import JSONResponse, Response

from apps.trade.assessment import UnassessableError
from apps.trade.questions import AnswerError
from apps.trade.settings import SettingsError
from apps.trade.sources import RefusedError, UnreachableError
from apps.trade.views import FieldProblem, Problem

EXPECTED = (ValidationError, UnassessableError, RefusedError, UnreachableError, SettingsError, AnswerError)
RETRY_AFTER_S = 2
MOST_ECHOED = 80  # characters of a wrong value that are shown again


def problem_of(error: Exception, model: type[BaseModel] | None = None) -> Problem:
    """Describe an expected error; `model` gives the remedies for wrong fields."""
    if isinstance(error, ValidationError):
        errors = tuple(_field(each, model) for each in error.errors(include_url=False))
        return _problem("invalid-input", "The request has wrong fields", 422, errors)
    if isinstance(error, UnassessableError):
        errors = (FieldProblem(field=error.field, detail=error.detail, remedy=error.remedy),)
        return _problem("unassessable", "No number can be given", 422, errors)
    if isinstance(error, RefusedError):
        return _problem("refused", "A member refused the question", 403, detail=str(error))
    if isinstance(error, AnswerError):
        return _problem("bad-answer", "A member's answer cannot be read", 502, detail=str(error))
    return _problem("unavailable", "A member cannot be asked now", 503, detail=f"{error}; try again shortly")


def problem(kind: str, title: str, status: int, detail: str) -> Problem:
    """A problem that is no exception."""
    return _problem(kind, title, status, detail=detail)


def response(described: Problem) -> Response:
    """The problem as an HTTP response."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if described.status == 503 else None
    return JSONResponse(
        described.model_dump(mode="json"),
        status_code=described.status,
        headers=headers,
        media_type="application/problem+json",
    )


def _problem(
    kind: str, title: str, status: int, errors: tuple[FieldProblem, ...] = (), detail: str | None = None
) -> Problem:
    said = detail or "; ".join(f"{each.field}: {each.detail}; {each.remedy}" for each in errors)
    return Problem(type=f"urn:commonweal:trade:{kind}", title=title, status=status, detail=said, errors=errors)


def _field(error: ErrorDetails, model: type[BaseModel] | None) -> FieldProblem:
    location = error["loc"]
    name = ".".join(str(part) for part in location) or "body"
    known = model.model_fields.get(str(location[0])) if model is not None and location else None
    if known is None:
        fields = ", ".join(model.model_fields) if model is not None else "those of /openapi.json"
        return FieldProblem(field=name, detail=_detail(error), remedy=f"the fields are {fields}")
    return FieldProblem(
        field=name, detail=_detail(error), remedy=f"give {known.description or 'what /openapi.json says'}"
    )


def _detail(error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return "missing"
    if error["type"] == "extra_forbidden":
        return "unknown field"
    if error["type"] == "json_invalid":
        return "not JSON"
    return f"{str(error['input'])[:MOST_ECHOED]!r} does not fit ({error['msg'][:1].lower()}{error['msg'][1:]})"
