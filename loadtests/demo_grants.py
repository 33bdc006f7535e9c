"""A second grant in the running demo, like the one of its trade pilot, for a bar that may take it away again."""

from typing import Any

import yaml

from loadtests.wire import Kubectl

LIKE = "trade-emissions"


def agree(hub: Kubectl, name: str, pilot_app: str) -> None:
    """Ask for it; its trustees approve the text that the hub makes of it.

    Raises:
        WireError: it is not Ready in time.
    """
    grant = hub.json("get", "datagrant", LIKE)
    beneficiary = {"beneficiary": {"pilotApp": pilot_app}}
    hub("apply", "--server-side", "-f", "-", stdin=renamed(grant, name, {**beneficiary, "approvals": []}))
    hub("wait", "--for=jsonpath={.status.agreement.sha256}", f"datagrant/{name}", "--timeout=30s")
    agreed = hub.json("get", "datagrant", name)["status"]["agreement"]["sha256"]
    approvals = [{**approval, "agreement": agreed} for approval in grant["spec"]["approvals"]]
    hub("apply", "--server-side", "-f", "-", stdin=renamed(grant, name, {**beneficiary, "approvals": approvals}))
    hub("wait", "--for=condition=Ready", f"datagrant/{name}", "--timeout=30s")


def renamed(body: dict[str, Any], name: str, changes: dict[str, Any]) -> str:
    """The same object under another name and with some of its spec changed, as `kubectl apply` takes it."""
    kept = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {"name": name}}
    return yaml.safe_dump({**kept, "spec": {**body["spec"], **changes}})
