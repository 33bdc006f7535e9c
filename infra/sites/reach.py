"""Whether a kubeconfig leads anywhere: asked first, since the provider needs minutes to give up on a silent server."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from infra.sites.args import SiteError

ANSWER_WITHIN_S = 5.0


def server_of(kubeconfig: str) -> str | None:
    """The URL of the API server of the current context of a kubeconfig's text; None if a proxy stands between.

    Raises:
        SiteError: The text is no kubeconfig, or has no current context.
    """
    try:
        config = yaml.safe_load(kubeconfig)
        contexts = {item["name"]: item["context"] for item in config["contexts"]}
        clusters = {item["name"]: item["cluster"] for item in config["clusters"]}
        cluster = clusters[contexts[config["current-context"]]["cluster"]]
        return None if "proxy-url" in cluster else str(cluster["server"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise SiteError(
            f"kubeconfig: it has no usable current context ({error}); write one with kubectl config"
        ) from None


def require_answer(kubeconfig: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse to begin when nothing listens where the kubeconfig leads.

    Raises:
        SiteError: The file cannot be read, or its server does not accept a connection within 5 s.
    """
    try:
        server = server_of(kubeconfig.read_text())
    except OSError as error:
        raise SiteError(f"kubeconfig: {kubeconfig} cannot be read ({error.strerror}); name one that can") from None
    if server is None or environ.get("HTTPS_PROXY") or environ.get("https_proxy"):
        return
    parts = urlsplit(server)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 443), timeout=ANSWER_WITHIN_S).close()
    except OSError as error:
        raise SiteError(
            f"{server} of {kubeconfig} does not answer ({error}); start the cluster or name the right kubeconfig"
        ) from None
