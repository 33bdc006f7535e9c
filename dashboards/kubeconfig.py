"""Reads the reader's kubeconfig: where the hub is, whom to trust, and who we are.

Only what a reader needs: a CA, and a client certificate or a token. Plugins that run programs are refused.
"""

import base64
import binascii
import ssl
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


class KubeconfigError(ValueError):
    """The kubeconfig cannot be used; the message names the file, the field and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """How to reach a hub: its URL, and PEM files that prove both sides."""

    server: str
    ca_pem: bytes | None
    certificate_pem: bytes | None
    key_pem: bytes | None = field(repr=False)
    token: str | None = field(repr=False)

    def ssl_context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the hub's CA alone.

        Raises:
            KubeconfigError: a PEM block cannot be read.
        """
        try:
            context = ssl.create_default_context(cadata=self.ca_pem.decode() if self.ca_pem else None)
            if self.certificate_pem and self.key_pem:
                _load_chain(context, self.certificate_pem, self.key_pem)
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise KubeconfigError(f"certificate data of {self.server}: {error}; write the kubeconfig again") from error
        return context


def _load_chain(context: ssl.SSLContext, certificate_pem: bytes, key_pem: bytes) -> None:
    """Hand the pair to OpenSSL, which takes files only; they exist, readable by us alone, for this call."""
    with ExitStack() as files:
        names = []
        for pem in (certificate_pem, key_pem):
            file = files.enter_context(tempfile.NamedTemporaryFile())
            file.write(pem)
            file.flush()
            names.append(file.name)
        context.load_cert_chain(*names)


def read_access(path: Path) -> Access:
    """Read the current context of a kubeconfig.

    Raises:
        KubeconfigError: the file is missing, is not a kubeconfig, or needs what a reader does not support.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KubeconfigError(f"{path}: {error}; name a readable kubeconfig by KUBECONFIG") from error
    if not isinstance(document, Mapping):
        raise KubeconfigError(f"{path}: is not a kubeconfig; name one by KUBECONFIG")
    context = _named(document, "contexts", "context", document.get("current-context"), path)
    cluster = _named(document, "clusters", "cluster", context.get("cluster"), path)
    user = _named(document, "users", "user", context.get("user"), path)
    for plugin in ("exec", "auth-provider"):
        if plugin in user:
            raise KubeconfigError(f"{path}: users[].user.{plugin} runs a program; use a client certificate or a token")
    if cluster.get("insecure-skip-tls-verify"):
        raise KubeconfigError(f"{path}: insecure-skip-tls-verify: anyone could be the hub; give certificate-authority")
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith("https://"):
        raise KubeconfigError(f"{path}: clusters[].cluster.server: {server!r} is not an https URL; correct it")
    return Access(
        server=server,
        ca_pem=_pem(cluster, "certificate-authority", path),
        certificate_pem=_pem(user, "client-certificate", path),
        key_pem=_pem(user, "client-key", path),
        token=user.get("token") or _token(user, path),
    )


def _token(user: Mapping[str, Any], path: Path) -> str | None:
    """Return the token in a file, as a pod has it; it is read again at every refresh, because it rotates."""
    name = user.get("tokenFile")
    try:
        return (path.parent / str(name)).read_text().strip() if name else None
    except (OSError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path}: tokenFile: {error}; name a readable file") from error


def _named(document: Mapping[str, Any], plural: str, singular: str, name: object, path: Path) -> Mapping[str, Any]:
    entries = document.get(plural)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and entry.get("name") == name and isinstance(entry.get(singular), Mapping):
            found: Mapping[str, Any] = entry[singular]
            return found
    raise KubeconfigError(f"{path}: {plural}: has no entry named {name!r}; set current-context to one that is there")


def _pem(entry: Mapping[str, Any], key: str, path: Path) -> bytes | None:
    """Return the PEM that a kubeconfig holds inline or names as a file beside itself."""
    if inline := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(inline, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise KubeconfigError(f"{path}: {key}-data: {error}; write it in base64") from error
    if name := entry.get(key):
        try:
            return (path.parent / str(name)).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{path}: {key}: {error}; name a readable file") from error
    return None
