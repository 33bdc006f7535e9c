"""What Pulumi's engine events say, as short lines for a person, and the cause of a failure as one sentence."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pulumi.automation import EngineEvent, OpType
from pulumi.automation.events import DiagnosticEvent, StepEventMetadata

from infra.sites.pinned import CLUSTER

UNTOLD = {OpType.SAME, OpType.READ, OpType.REFRESH}
# Colours, and what says no more than the line that it stands in.
MARKUP = re.compile(r"<\{%.*?%\}>|resource \"urn:[^\"]*\" |^error: |\b1 error occurred: \* ")
# The CLI's closing words when something else went wrong; never the cause.
ECHOES = ("update failed", "preview failed", "destroy failed", "refresh failed")


@dataclass
class Story:
    """Tells `say` each change, each complaint, and once each thing that is waited for; keeps changes and errors."""

    say: Callable[[str], None]
    errors: list[str] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)
    steps: list[str] = field(default_factory=list)
    waits: set[str] = field(default_factory=set)

    def __call__(self, event: EngineEvent) -> None:
        """Take one event."""
        if event.res_outputs_event and _is_change(event.res_outputs_event.metadata):
            self.changes[event.res_outputs_event.metadata.op.value] += 1
            self.steps.append(step_line(event.res_outputs_event.metadata))
            self.say(self.steps[-1])
        if event.res_op_failed_event:
            self.say(f"failed: {step_line(event.res_op_failed_event.metadata)}")
        if event.diagnostic_event and (wait := wait_of(event.diagnostic_event)) and wait not in self.waits:
            self.waits.add(wait)
            self.say(wait)
        if event.diagnostic_event and (complaint := complaint_of(event.diagnostic_event)):
            self.say(complaint)
            if event.diagnostic_event.severity == "error":
                self.errors.append(complaint)

    @property
    def cause(self) -> str | None:
        """The first error that is not only an echo of another."""
        return next((error for error in self.errors if not error.endswith(ECHOES)), None)


def _is_change(step: StepEventMetadata) -> bool:
    # What is only read belongs to someone else; a refresh reports it as updated each time.
    return step.op not in UNTOLD and not step.urn.endswith((f"/{CLUSTER}", f"-{CLUSTER}"))


def step_line(step: StepEventMetadata) -> str:
    """One change: `create Deployment ca/commonweal-data/gateway`."""
    return f"{step.op.value} {step.type.rsplit(':', 1)[-1]} {step.urn.rsplit('::', 1)[-1]}"


def wait_of(diagnostic: DiagnosticEvent) -> str | None:
    """What a resource still lacks while a run waits for it; Pulumi shows it on the resource's line while it lasts."""
    if not diagnostic.ephemeral or diagnostic.severity != "info":
        return None
    return _about(diagnostic)


def complaint_of(diagnostic: DiagnosticEvent) -> str | None:
    """An error or warning with the resource it is about, on one line; None for chatter."""
    if diagnostic.severity not in {"error", "warning"}:
        return None
    return _about(diagnostic)


def _about(diagnostic: DiagnosticEvent) -> str | None:
    text = MARKUP.sub("", " ".join(MARKUP.sub("", diagnostic.message).split()))
    about = diagnostic.urn.rsplit("::", 1)[-1] if diagnostic.urn else ""
    return f"{about}: {text}" if about else text
