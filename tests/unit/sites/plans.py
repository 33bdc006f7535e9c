"""Plans of a site as Pulumi's mocks record them."""

from pathlib import Path

from infra.sites.plan import Registration, planned
from infra.sites.program import PROJECT, member_site

INVITATION = '{"token": "the-invitation-token"}'
CONFIG = {
    "country": "CA",
    "displayName": "Canada",
    "image": "localhost/commonweal/site:abc",
    "nodeAddress": "10.77.0.11",
    "pledgeCpuMillis": "2500",
    "pledgeGpus": "2",
    "pledgeMemoryMib": "4096",
    "trinoImage": "localhost/commonweal/trino:476-abc",
}


def plan_of(folder: Path, **changes: str) -> tuple[Registration, ...]:
    invitation, kubeconfig = folder / "invitation.json", folder / "kubeconfig"
    invitation.write_text(INVITATION)
    kubeconfig.write_text("")
    files = {"hubInvitationFile": str(invitation), "kubeconfig": str(kubeconfig)}
    return planned("ca", PROJECT, lambda: member_site("ca", {**CONFIG, **files, **changes}))
