"""Layers, images and archives."""

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from infra.images import __main__ as command
from infra.images import hub_image, oci, python_image, site_image, trino_image
from infra.local.machine import REPOSITORY


def folder(base: Path) -> Path:
    (base / "app").mkdir(parents=True)
    (base / "app" / "main.py").write_text("x = 1\n")
    (base / "link").symlink_to("app/main.py")
    return base


def test_equal_content_has_an_equal_digest_whatever_its_times(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other")
    os.utime(other / "app" / "main.py", (1, 1))
    assert oci.pack(one, tmp_path / "1.tar").digest == oci.pack(other, tmp_path / "2.tar").digest


def test_files_of_a_layer_belong_to_root_below_the_place_asked_for(tmp_path: Path) -> None:
    layer = oci.pack(folder(tmp_path / "one"), tmp_path / "1.tar", under="opt/commonweal")
    with tarfile.open(layer.file) as archive:
        members = archive.getmembers()
    assert [member.name for member in members][:2] == ["opt", "opt/commonweal"]
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, oci.FIXED_TIME)}


def image(tmp_path: Path) -> oci.Image:
    first = oci.pack(folder(tmp_path / "one"), tmp_path / "1.tar")
    second = oci.pack(folder(tmp_path / "two"), tmp_path / "2.tar", under="opt")
    return oci.Image(reference="localhost/x:1", layers=(first, second), entrypoint=("python3",), user="65532:65532")


def read(archive: io.BytesIO) -> dict[str, bytes]:
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        return {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar}


def test_every_blob_of_an_archive_has_the_digest_that_it_is_named_by(tmp_path: Path) -> None:
    out = io.BytesIO()
    oci.write_archive(image(tmp_path), out)
    blobs = {name: content for name, content in read(out).items() if name.startswith("blobs/")}
    assert len(blobs) == 4
    assert all(
        oci.digest_of(content) == name.removeprefix("blobs/").replace("/", ":") for name, content in blobs.items()
    )


def test_an_archive_names_its_image_and_leads_to_its_layers(tmp_path: Path) -> None:
    made = image(tmp_path)
    out = io.BytesIO()
    oci.write_archive(made, out)
    files = read(out)
    entry, again = json.loads(files["index.json"])["manifests"]
    names = [each["annotations"]["io.containerd.image.name"] for each in (entry, again)]
    assert names == ["localhost/x:1", f"localhost/x@{entry['digest']}"] == [made.reference, made.pinned]
    assert again["digest"] == entry["digest"]
    manifest = json.loads(files[f"blobs/{entry['digest'].replace(':', '/')}"])
    assert [layer["digest"] for layer in manifest["layers"]] == [layer.digest for layer in made.layers]


def test_an_archive_for_a_registry_lists_its_image_once(tmp_path: Path) -> None:
    made = image(tmp_path)
    command.export(made, tmp_path / "out.tar")
    with (tmp_path / "out.tar").open("rb") as file:
        (entry,) = json.loads(read(io.BytesIO(file.read()))["index.json"])["manifests"]
    assert made.pinned.endswith(entry["digest"])
    assert not list(tmp_path.glob("*.draft"))


def test_layers_that_the_receiver_has_are_left_out(tmp_path: Path) -> None:
    made = image(tmp_path)
    out = io.BytesIO()
    oci.write_archive(made, out, without={made.layers[0].digest})
    assert f"blobs/{made.layers[0].digest.replace(':', '/')}" not in read(out)
    assert f"blobs/{made.layers[1].digest.replace(':', '/')}" in read(out)


def test_a_layer_that_changed_on_disk_has_a_new_digest(tmp_path: Path) -> None:
    layer = oci.pack(folder(tmp_path / "one"), tmp_path / "1.tar")
    (tmp_path / "1.tar").write_bytes(b"other")
    os.utime(tmp_path / "1.tar", ns=(2**62, 2**62))
    assert oci.read_layer(tmp_path / "1.tar").digest != layer.digest


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("lib/io.trino_trino-main-476.jar", True),
        ("plugin/iceberg/io.trino_trino-iceberg-476.jar", True),
        ("plugin/iceberg/net.snowflake_snowflake-jdbc-3.24.2.jar", False),
        ("plugin/iceberg/hdfs/hadoop.jar", False),
        ("plugin/kafka/kafka.jar", False),
        ("bin/launcher", False),
    ],
)
def test_only_what_a_data_trust_needs_of_trino_is_kept(name: str, wanted: bool) -> None:
    assert trino_image.is_wanted(name) is wanted


def test_equal_images_are_asked_for_by_one_name_and_other_ones_by_another(tmp_path: Path) -> None:
    one, other = image(tmp_path / "a"), image(tmp_path / "b")
    assert one.pinned == other.pinned
    assert one.pinned != replace(other, user="0:0").pinned


def test_an_image_says_how_it_is_asked_to_stop_only_if_that_is_not_the_usual_way(tmp_path: Path) -> None:
    usual = image(tmp_path)
    assert b"StopSignal" not in usual.config()
    assert json.loads(replace(usual, stop_signal="SIGUSR1").config())["config"]["StopSignal"] == "SIGUSR1"


def test_the_hubs_image_holds_what_its_pods_run_and_no_members_data() -> None:
    files = {"data_trusts/__init__.py", "data_trusts/tlog.py"}
    assert {"commonweal", "operators", "dashboards", *files} == set(hub_image.PACKAGES)
    assert [path.name for each in sorted(files) for path in python_image.sources_of(REPOSITORY / each)] == [
        "__init__.py",
        "tlog.py",
    ]


def test_our_own_code_is_the_last_layer_and_holds_no_control_plane() -> None:
    assert "infra/nvml_exporter" in site_image.PACKAGES
    assert not any(package.startswith("infra/local") for package in site_image.PACKAGES)
