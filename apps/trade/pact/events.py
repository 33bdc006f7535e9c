"""The four events of PACT v3 as CloudEvents: what we accept from others, and how we answer a request."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

from pydantic import AwareDatetime, Field, TypeAdapter

from apps.trade.pact.catalogue import NAMESPACE, Catalogue, Criteria
from apps.trade.pact.footprint import Camel, ProductFootprint, Text
from apps.trade.pact.register import Client

PREFIX = "org.wbcsd.pact.ProductFootprint"
PUBLISHED = f"{PREFIX}.PublishedEvent.3"
CREATED = f"{PREFIX}.RequestCreatedEvent.3"
FULFILLED = f"{PREFIX}.RequestFulfilledEvent.3"
REJECTED = f"{PREFIX}.RequestRejectedEvent.3"


class _Event(Camel):
    specversion: Literal["1.0"]
    id: Text
    source: Text
    time: AwareDatetime


class Published(_Event):
    """Somebody has new footprints."""

    class Data(Camel):
        """Ids of the footprints."""

        pf_ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=10_000)]

    type: Literal["org.wbcsd.pact.ProductFootprint.PublishedEvent.3"]
    data: Data


class RequestCreated(_Event):
    """Somebody asks for footprints."""

    class Data(Criteria):
        """The same criteria as a list's."""

        comment: str | None = None

    type: Literal["org.wbcsd.pact.ProductFootprint.RequestCreatedEvent.3"]
    data: Data


class RequestFulfilled(_Event):
    """Somebody answers with footprints; they must add up."""

    class Data(Camel):
        """The request and the footprints."""

        request_event_id: Text
        pfs: Annotated[tuple[ProductFootprint, ...], Field(min_length=1, max_length=1000)]

    type: Literal["org.wbcsd.pact.ProductFootprint.RequestFulfilledEvent.3"]
    data: Data


class RequestRejected(_Event):
    """Somebody answers that there is none."""

    class Data(Camel):
        """The request and the reason."""

        class Error(Camel):
            """Code and message."""

            code: Text
            message: str

        request_event_id: Text
        error: Error

    type: Literal["org.wbcsd.pact.ProductFootprint.RequestRejectedEvent.3"]
    data: Data


Event = Annotated[Published | RequestCreated | RequestFulfilled | RequestRejected, Field(discriminator="type")]
_TYPE: TypeAdapter[Published | RequestCreated | RequestFulfilled | RequestRejected] = TypeAdapter(Event)


def read_event(content: bytes) -> Published | RequestCreated | RequestFulfilled | RequestRejected:
    """An event from its JSON.

    Raises:
        ValidationError: a field is wrong, or the footprints in it do not add up.

    """
    return _TYPE.validate_json(content)


def answer(request: RequestCreated, catalogue: Catalogue, client: Client, source: str, now: datetime) -> dict[str, Any]:
    """The event that answers a request: fulfilled with what its criteria find, or rejected where they find nothing."""
    found = catalogue.matching(request.data, client)
    data: dict[str, Any] = {"requestEventId": request.id}
    if found:
        data["pfs"] = [offer.shown(client) for offer in found]
    else:
        data["error"] = {"code": "NotFound", "message": "No footprint fits the criteria"}
    return {
        "type": FULFILLED if found else REJECTED,
        "specversion": "1.0",
        "id": str(uuid5(NAMESPACE, f"{request.source} {request.id}")),
        "source": source,
        "time": now.isoformat(),
        "data": data,
    }
