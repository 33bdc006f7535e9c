"""HAProxy on Debian bookworm, and nothing of ours: its configuration comes from the doorkeeper beside it."""

from pathlib import Path

from infra.images import base_image, oci, workshop

NAME = "localhost/commonweal/front-door"
PACKAGES = "haproxy,ca-certificates"
# It then takes no new connection and ends when the last request is answered; https://docs.haproxy.org/2.6/management.html
GRACEFUL = "SIGUSR1"


def build(cache: Path) -> oci.Image:
    """The image; HAProxy's arguments are the container's."""
    layer = oci.read_layer(base_image.debian(cache, PACKAGES) / "base.tar")
    return oci.Image(
        reference=f"{NAME}:{workshop.key_of(layer.digest)}",
        layers=(layer,),
        entrypoint=("/usr/sbin/haproxy",),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        user=workshop.UNPRIVILEGED,
        stop_signal=GRACEFUL,
    )
