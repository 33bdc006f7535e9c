"""On a node's network with a NetworkPolicy controller, what a site opens passes, and what it does not open does not."""

from loadtests.bars import Measurement
from loadtests.walls import OPEN, SHUT, Seen, look

NEEDS_DEMO = False


def measure() -> list[Measurement]:
    """Every flow before and after the policies are in force; one that never passed would prove nothing."""
    seen = look()
    wrong = [flow for flow in OPEN if seen[flow] != Seen(before=True, after=True)]
    wrong += [flow for flow in SHUT if seen[flow] != Seen(before=True, after=False)]
    note = "; ".join([f"{len(OPEN)} open, {len(SHUT)} shut", *(f"{a} to {b} on {port}" for a, b, port in wrong[:5])])
    return [Measurement(name="site-network", value=len(wrong), unit=f"of-{len(seen)}-flows-wrong", bound=0, note=note)]
