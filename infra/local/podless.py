"""A Deployment's one container as a process of this machine, for drills and tests in clusters without a node.

It gets the environment that its Deployment names and the rights of its ServiceAccount, and nothing else of a pod:
no image, no volume, no limit.
"""

import json
import sys
from pathlib import Path

import yaml

from infra.local.machine import run
from infra.local.supervisor import Process

HEALTH_PORT = "COMMONWEAL_HEALTH_PORT"
KUBECONFIG = "COMMONWEAL_KUBECONFIG"


def as_process(kubectl: Path, kubeconfig: Path, namespace: str, deployment: str, folder: Path) -> Process:
    """What a kubelet would start, with a kubeconfig of the ServiceAccount in `folder`, where the log goes too.

    Raises:
        LocalError: There is no such Deployment, or its ServiceAccount gets no token.
    """
    where = [str(kubectl), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
    pod = json.loads(run([*where, "get", f"deployment/{deployment}", "--output=json"]))["spec"]["template"]["spec"]
    [container] = pod["containers"]
    config = yaml.safe_load(kubeconfig.read_text())
    token = run([*where, "create", "token", pod["serviceAccountName"]]).strip()
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    own = folder / f"{deployment}-account.yaml"
    own.touch(mode=0o600)
    own.write_text(yaml.safe_dump(config))
    named = {item["name"]: item["value"] for item in container["env"]}
    return Process(
        name=deployment,
        argv=(sys.executable, *container["args"]),
        # Ports of this machine are not the container's own: its health is served on any that is free.
        env={**named, HEALTH_PORT: "0", KUBECONFIG: str(own)},
        log=folder / f"{deployment}.log",
    )
