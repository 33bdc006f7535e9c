"""`python -m infra.sites.pilot_secret`: a member gives an application a Secret, and nobody else learns what it holds.

The Secret is made in the member's own cluster, in the namespace of the applications, with the label that names the one
application which may mount it. The agent may look at this Secret by its name alone, to see the label; it mounts
nothing that a member has not labelled. Run again with files it replaces them; a signing key is made once and kept.
"""

import argparse
import base64
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from commonweal.kinds.pilot_app import PILOT_LABEL
from infra.sites.args import SiteError
from infra.sites.cluster import speak
from infra.sites.objects import FIELD_MANAGER, Manifest, granted, manifest
from infra.sites.rbac import AGENT, APPS, Rule
from operators.kube import SECRETS, AlreadyExists, Kube

PUBLIC = ".pub"  # beside a signing key, so that whoever verifies can be given it later
UNOWNED: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Given:
    """A Secret for one application. `kept` keeps what a Secret of this name holds already."""

    pilot: str
    secret: str
    files: Mapping[str, bytes]
    kept: bool = False


def signing_key(name: str) -> dict[str, bytes]:
    """A new Ed25519 key under `name`, and its public half beside it."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {name: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), name + PUBLIC: public}


def secret_manifest(given: Given) -> Manifest:
    """The Secret with its label."""
    data = {name: base64.b64encode(content).decode() for name, content in given.files.items()}
    labels = {PILOT_LABEL: given.pilot}
    return manifest(UNOWNED, "v1", "Secret", APPS, given.secret, labels=labels, type="Opaque", data=data)


def look_manifests(secret: str) -> tuple[Manifest, Manifest]:
    """The agent's right to look at one Secret by its name, and its binding."""
    look = Rule(
        why="it mounts no Secret that it has not seen labelled",
        namespace=APPS,
        resources=("secrets",),
        names=(secret,),
        verbs=("get",),
    )
    return granted(UNOWNED, AGENT, APPS, f"pilot-secret-{secret}", [look])


async def give(kube: Kube, given: Given) -> dict[str, bytes]:
    """Put the Secret and the agent's right to look at it into the member's cluster; returns what it holds then.

    Raises:
        SiteError: a Secret of this name is there and is not of this application.
        KubeError: the cluster refuses or does not answer.
    """
    body = secret_manifest(given)
    try:
        held = await kube.create(SECRETS, body, APPS)
    except AlreadyExists:
        held = await kube.get(SECRETS, given.secret, APPS)
        owner = held["metadata"].get("labels", {}).get(PILOT_LABEL)
        if owner != given.pilot:
            whose = f"is for {owner}" if owner else "was made by somebody else"
            raise SiteError(f"--secret: {APPS}/{given.secret} {whose}; use another name or delete it") from None
        if not given.kept:
            held = await kube.replace(SECRETS, body | {"metadata": body["metadata"] | _version(held)})
    for right in look_manifests(given.secret):
        resource = await kube.resource_of(right["apiVersion"], right["kind"])
        await kube.apply(resource, right, field_manager=FIELD_MANAGER)
    return {name: base64.b64decode(value) for name, value in held.get("data", {}).items()}


def _version(held: Manifest) -> dict[str, str]:
    return {"resourceVersion": held["metadata"]["resourceVersion"]}


def read_files(named: Sequence[str]) -> dict[str, bytes]:
    """The files of `--file NAME=PATH`.

    Raises:
        SiteError: one is not written so, or cannot be read.
    """
    files = {}
    for each in named:
        name, equals, path = each.partition("=")
        if not (name and equals and path):
            raise SiteError(f"--file: {each} is not NAME=PATH; write for example pact.yaml=/home/me/pact.yaml")
        try:
            files[name] = Path(path).read_bytes()
        except OSError as error:
            raise SiteError(f"--file: {path}: {error.strerror}; name a file that can be read") from None
    return files


def main(argv: Sequence[str] | None = None) -> int:
    """Give an application a Secret; an error is one sentence and status 1."""
    parser = argparse.ArgumentParser(prog="python -m infra.sites.pilot_secret", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="the member's own cluster, as its administrator")
    parser.add_argument("--pilot", required=True, help="the PilotApp that may mount it, as trade")
    parser.add_argument("--secret", required=True, help="its name, as spec.component.secrets says it")
    content = parser.add_mutually_exclusive_group(required=True)
    content.add_argument("--signing-key", metavar="NAME", help="a new Ed25519 key under this name, as key.pem")
    content.add_argument("--file", action="append", metavar="NAME=PATH", help="a file, read as it is")
    asked = parser.parse_args(argv)
    try:
        files = signing_key(asked.signing_key) if asked.signing_key else read_files(asked.file)
        given = Given(pilot=asked.pilot, secret=asked.secret, files=files, kept=bool(asked.signing_key))
        held = speak(asked.kubeconfig, lambda kube: give(kube, given))
    except SiteError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stderr.write(f"{APPS}/{given.secret}: {', '.join(sorted(held))}, for {given.pilot} alone\n")
    sys.stdout.write(held.get(f"{asked.signing_key}{PUBLIC}", b"").decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
