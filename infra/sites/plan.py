"""What a member would get, without an engine, a cluster or an account: the same program run against Pulumi's mocks.

It is a preview of what is declared, not of what would change; `python -m infra.sites preview` asks the real engine.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml
from pulumi.runtime import mocks, rpc, set_mocks
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_pulumi_func

from infra.sites.pinned import CLUSTER

UNKNOWN_UID = "known-once-the-cluster-answers"
SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"  # noqa: S105  # the wire's mark of a special value, public
SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  # and of one that is a secret
HIDDEN = "[secret]"
Json = Any
Outputs = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One resource as the program registers it; values that it marks as secret read `[secret]`."""

    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    protected: bool
    retained: bool

    @property
    def component(self) -> str:
        """What it is a part of: the component's type and name, or `the stack`."""
        path, _, name = self.parent.rpartition("::")
        kind = path.rpartition("::")[2].rpartition("$")[2]
        return f"{kind.rpartition(':')[2]} {name}" if kind not in {"", "pulumi:pulumi:Stack"} else "the stack"


class _Answers(mocks.Mocks):
    def __init__(self, answered: Outputs) -> None:
        self._answered = answered

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        return dict(args.args), None

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        state = {**args.inputs, **self._answered.get(args.typ, {})}
        if not state and args.name.endswith(f"/{CLUSTER}"):
            state = {"metadata": {"uid": UNKNOWN_UID}}
        return args.resource_id or args.name, state


class _Recorder(mocks.MockMonitor):
    """Pulumi's own mock monitor, which also keeps each request as it went over the wire."""

    def __init__(self, answered: Outputs) -> None:
        super().__init__(_Answers(answered))
        self.registrations: list[Registration] = []

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> object:  # noqa: N802  # the protocol's
        if request.custom:
            self.registrations.append(
                Registration(
                    type=request.type,
                    name=request.name,
                    inputs=hidden(rpc.deserialize_properties(request.object)),
                    parent=request.parent,
                    protected=request.protect,
                    retained=request.retainOnDelete,
                )
            )
        respond: Callable[[object], object] = super().RegisterResource
        return respond(request)


def hidden(value: Json) -> Json:
    """`value` with every secret replaced, and whole numbers as ints again, which the wire does not know."""
    if isinstance(value, dict):
        if value.get(SECRET_SIGNATURE) == SECRET_MARK:
            return HIDDEN
        return {key: hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hidden(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def planned(
    stack: str, project: str, program: Callable[[], object], *, answered: Outputs = MappingProxyType({})
) -> tuple[Registration, ...]:
    """Run `program` as a stack of `project` against mocks; returns all that it registers, by type and name.

    `answered` holds, by resource type, what only a provider could know and the program goes on with.
    """

    def run() -> None:
        program()

    recorder = _Recorder(answered)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        set_mocks(recorder.mocks, project=project, stack=stack, preview=False, monitor=recorder)
        loop.run_until_complete(run_pulumi_func(run))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return tuple(sorted(recorder.registrations, key=lambda item: (item.type, item.name)))


def as_text(found: Sequence[Registration]) -> Iterator[str]:
    """A plan for people and for `diff`: how many objects of which kind each component has, then each as YAML."""
    for component in sorted({item.component for item in found}):
        kinds = Counter(item.type.rpartition(":")[2] for item in found if item.component == component)
        yield f"# {component}: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}\n"
    for item in found:
        kept = ", never deleted" if item.retained else ""
        yield f"---\n# {item.type} {item.name} ({item.component}{kept})\n{yaml.safe_dump(item.inputs, sort_keys=True)}"


def as_json(found: Sequence[Registration]) -> str:
    """A plan for programs: one object for each resource."""
    shown = [
        {
            "type": item.type,
            "name": item.name,
            "component": item.component,
            "neverDeleted": item.retained,
            "inputs": item.inputs,
        }
        for item in found
    ]
    return json.dumps(shown, indent=2, sort_keys=True)
