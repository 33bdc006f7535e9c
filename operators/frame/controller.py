"""What a controller is, and one pass of it: observe, plan, apply, report."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from pydantic import ValidationError

from operators.frame.plan import Finding, Plan, status_patch
from operators.frame.store import Key, Store
from operators.kube import ApiResource, Invalid, Json, Kube, NotFound

log = logging.getLogger(__name__)

O = TypeVar("O")  # noqa: E741 - what a controller observes


class Permanent(Exception):  # noqa: N818 - named by what it means for the caller
    """Bad input: trying again does not help until the object changes. The message names the field and the remedy."""

    def __init__(self, message: str, *, reason: str = "Invalid") -> None:
        super().__init__(message)
        self.reason = reason


class Waiting(Exception):  # noqa: N818 - named by what it means for the caller
    """Something that this depends on is missing; its arrival marks the key dirty, and `retry_in_s` is the fallback."""

    def __init__(self, message: str, *, reason: str, retry_in_s: float = 30.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_in_s = retry_in_s


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What observing may use: the cache first, the API for what is too secret or too rare to be cached."""

    store: Store
    kube: Kube
    clock: Callable[[], datetime]


def own(body: Json) -> Iterable[Key]:
    """The key of the object itself."""
    metadata = body["metadata"]
    return (Key(metadata.get("namespace", ""), metadata["name"]),)


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A kind that a controller depends on, and which of its keys an object of that kind makes dirty.

    With `spec_only` a change of its status alone makes nothing dirty.
    """

    resource: ApiResource
    keys: Callable[[Json], Iterable[Key]] = own
    labels: str = ""
    spec_only: bool = False

    def ignores(self, body: Json, before: Json | None) -> bool:
        """Whether this change is none of the controller's business."""
        if not self.spec_only or before is None:
            return False
        same: bool = before["metadata"]["generation"] == body["metadata"]["generation"]
        return same


class Controller(Protocol[O]):
    """One kind's rule. The first watch is the kind whose status it reports.

    Two attributes are optional: `concurrency = 1` runs one key at a time, so that each sees what the one before wrote;
    `always` are keys to reconcile at the start even where no object makes them dirty.
    """

    @property
    def name(self) -> str:
        """As logs and metrics call it."""

    @property
    def watches(self) -> tuple[Watch, ...]:
        """What it depends on."""

    async def observe(self, key: Key, tools: Tools) -> O | None:
        """Read all that the decision depends on; None if there is nothing to decide."""

    def plan(self, observed: O, now: datetime) -> Plan:
        """Decide; pure."""


@dataclass(frozen=True, kw_only=True)
class Reconciler(Generic[O]):
    """Runs one controller. It holds no state of its own, so a crash between any two calls loses nothing."""

    controller: Controller[O]
    tools: Tools
    refused: Callable[[str], None] = field(default=lambda _: None)

    async def __call__(self, key: Key) -> float | None:
        """One pass; returns in how many seconds to look again, if at all."""
        now = self.tools.clock()
        try:
            observed = await self.controller.observe(key, self.tools)
            if observed is None:
                return None
            plan = self.controller.plan(observed, now)
            for write in plan.writes:
                await write.perform(self.tools.kube, self.tools.store, (self.controller.name, key))
        except Permanent as error:
            plan = self._refuse(error.reason, str(error))
        except ValidationError as error:
            plan = self._refuse("Invalid", first_error(error))
        except Invalid as error:
            plan = self._refuse("ObjectRefused", f"{error.field}: {error.message}" if error.field else error.message)
        except Waiting as error:
            plan = _not_ready(error.reason, str(error), error.retry_in_s)
        await self._report(key, plan, now)
        return plan.requeue_in_s

    def _refuse(self, reason: str, message: str) -> Plan:
        self.refused(reason)
        return _not_ready(reason, message, None)

    async def _report(self, key: Key, plan: Plan, now: datetime) -> None:
        resource = self.controller.watches[0].resource
        live = self.tools.store.get(resource, key.name, key.namespace)
        if live is None or not (plan.findings or plan.status):
            return
        if plan.findings and not plan.status and _is_refusal(plan):
            plan = Plan(findings=plan.findings, status=_kept(live), requeue_in_s=plan.requeue_in_s)
        if not (patch := status_patch(live, plan, now)):
            return
        try:
            answer = await self.tools.kube.patch(resource, key.name, patch, key.namespace or None, subresource="status")
        except NotFound:
            return  # deleted meanwhile
        self.tools.store.put(resource, answer, writer=(self.controller.name, key), known_only=True)


def first_error(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, as `path: what`."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _not_ready(reason: str, message: str, retry_in_s: float | None) -> Plan:
    return Plan(findings=(Finding(type="Ready", holds=False, reason=reason, message=message),), requeue_in_s=retry_in_s)


def _is_refusal(plan: Plan) -> bool:
    return len(plan.findings) == 1 and plan.findings[0].type == "Ready" and plan.findings[0].holds is False


def _kept(live: Json) -> Json:
    """A refusal says nothing of the other status fields, so they stay."""
    return {k: v for k, v in live.get("status", {}).items() if k not in {"conditions", "observedGeneration"}}
