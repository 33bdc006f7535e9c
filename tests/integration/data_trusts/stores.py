"""An S3-compatible object store of its own, as a process on loopback; its buckets are the folders below one."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.engines import build, object_store
from infra.local.trino import free_port
from tests.integration.data_trusts.conftest import stop, wait_for

KEY_ID, SECRET, REGION = "warehouse-key", "never-to-be-seen-secret", "eu-north-1"


@dataclass(frozen=True)
class ObjectStore:
    """A store; `folder` is where its buckets lie, to be looked at without asking it."""

    folder: Path
    port: int

    def environment(self, bucket: str) -> dict[str, str]:
        """What a member's gateway is told, for a bucket that is made where it is not there."""
        (self.folder / bucket).mkdir(exist_ok=True)
        return {
            "COMMONWEAL_WAREHOUSE": f"s3://{bucket}/member/ca",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def storing(folder: Path) -> Iterator[ObjectStore]:
    """Run a store until the block is left."""
    buckets, versions = folder / "buckets", folder / "versions"
    for each in (buckets, versions):
        each.mkdir(parents=True)
    store = ObjectStore(buckets, free_port())
    argv: list[str | Path] = [build(object_store()), "--quiet", f"--region={REGION}", f"--port=127.0.0.1:{store.port}"]
    process = subprocess.Popen(
        [*argv, "posix", f"--versioning-dir={versions}", buckets],
        env={**os.environ, "ROOT_ACCESS_KEY": KEY_ID, "ROOT_SECRET_KEY": SECRET, "GOMAXPROCS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for("the object store", store.answers, process, 30)
        yield store
    finally:
        stop(process)
