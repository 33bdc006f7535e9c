"""Container images as the OCI image specification 1.1 defines them: layers, a configuration, a manifest, an archive.

Layers are plain tar files with fixed times and owners, so that equal content has an equal digest on every machine.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
FIXED_TIME = 1_750_000_000  # archives of class data compare the times of files, so it may not be now
CHUNK_BYTES = 1 << 20

Document = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A tar file and the digest of its content."""

    file: Path
    digest: str

    @property
    def size_bytes(self) -> int:
        """Of the tar file."""
        return self.file.stat().st_size


@dataclass(frozen=True, kw_only=True)
class Image:
    """Layers from the base up, how a container of it starts and is asked to stop, and the tag that people read."""

    reference: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_dir: str = "/"
    stop_signal: str = ""

    @property
    def name(self) -> str:
        """The repository of the reference, without its tag."""
        head, _, tail = self.reference.rpartition("/")
        return f"{head}/{tail.partition(':')[0]}"

    @property
    def pinned(self) -> str:
        """The reference by which pods ask for it: its digest, which cannot come to mean something else."""
        return f"{self.name}@{digest_of(self.manifest())}"

    def config(self) -> bytes:
        """The image configuration."""
        document: Document = {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": list(self.entrypoint),
                "Cmd": list(self.command),
                "Env": [f"{name}={value}" for name, value in sorted(self.env.items())],
                "User": self.user,
                "WorkingDir": self.working_dir,
                **({"StopSignal": self.stop_signal} if self.stop_signal else {}),
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
        }
        return _encode(document)

    def manifest(self) -> bytes:
        """The image manifest; its digest is the identity of the image."""
        layers = [descriptor(LAYER_TYPE, layer.digest, layer.size_bytes) for layer in self.layers]
        config = self.config()
        document: Document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, digest_of(config), len(config)),
            "layers": layers,
        }
        return _encode(document)


def descriptor(media_type: str, digest: str, size_bytes: int) -> Document:
    """What names a blob: type, digest and size."""
    return {"mediaType": media_type, "digest": digest, "size": size_bytes}


def digest_of(content: bytes) -> str:
    """The OCI digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _encode(document: Document) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def pack(source: Path, target: Path, under: str = "", keep: Callable[[Path], bool] = lambda _: True) -> Layer:
    """Write the folder `source` as a layer below `under`; every file belongs to root and bears one fixed time.

    Returns the layer at `target`, which appears in one rename.
    """
    draft = target.with_name(f"{target.name}.draft")
    with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as archive:
        _add_parents(archive, under)
        for path in sorted(_walk(source)):
            relative = path.relative_to(source)
            if keep(relative):
                _add(archive, path, f"{under}/{relative}".strip("/"))
    draft.rename(target)
    return read_layer(target)


def _walk(folder: Path) -> list[Path]:
    return [Path(root) / name for root, folders, files in os.walk(folder) for name in (*folders, *files)]


def _add_parents(archive: tarfile.TarFile, under: str) -> None:
    parts = [part for part in under.split("/") if part]
    for depth in range(1, len(parts) + 1):
        info = tarfile.TarInfo("/".join(parts[:depth]))
        info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, FIXED_TIME
        archive.addfile(info)


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    info = archive.gettarinfo(path, arcname=name)
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = FIXED_TIME
    if info.isfile():
        with path.open("rb") as content:
            archive.addfile(info, content)
    else:
        archive.addfile(info)


def read_layer(file: Path) -> Layer:
    """The layer of a tar file; its digest is kept beside it, since large files take seconds to hash."""
    note = file.with_name(f"{file.name}.digest")
    if not note.exists() or note.stat().st_mtime_ns < file.stat().st_mtime_ns:
        with file.open("rb") as content:
            note.write_text(f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}")
    return Layer(file=file, digest=note.read_text())


def write_archive(
    image: Image, out: IO[bytes], without: Collection[str] = (), *, names: Collection[str] | None = None
) -> None:
    """Stream the image as an OCI archive, leaving out the layers `without`, which the receiver has already.

    It is listed under each of `names`, else by its tag and by its digest, as containerd finds an image by name alone.
    """
    config, manifest = image.config(), image.manifest()
    entry = descriptor(MANIFEST_TYPE, digest_of(manifest), len(manifest))
    named: list[Document] = [
        {**entry, "annotations": {"io.containerd.image.name": name}}
        for name in names or (image.reference, image.pinned)
    ]
    index = _encode({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": named})
    with tarfile.open(fileobj=out, mode="w|") as archive:
        _add_bytes(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add_bytes(archive, "index.json", index)
        for content in (config, manifest):
            _add_bytes(archive, _blob(digest_of(content)), content)
        for layer in {layer.digest: layer for layer in image.layers if layer.digest not in without}.values():
            info = tarfile.TarInfo(_blob(layer.digest))
            info.size = layer.size_bytes
            with layer.file.open("rb") as tar:
                archive.addfile(info, tar)


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
