"""When an engine is built again, and with which toolchain."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from infra.local import engines
from infra.local.machine import LocalError


def program(folder: Path) -> engines.GoProgram:
    (folder / "go.mod").write_text("module x\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n)\n")
    (folder / "main.go").write_text("package main\n")
    return engines.GoProgram(name="x", folder=folder, variables={})


def test_the_same_sources_have_the_same_key(tmp_path: Path) -> None:
    assert engines.key(program(tmp_path)) == engines.key(program(tmp_path))


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go", "schema.json"])
def test_a_change_of_any_file_is_another_key(tmp_path: Path, file: str) -> None:
    before = engines.key(program(tmp_path))
    same = engines.GoProgram(name="x", folder=tmp_path, variables={})
    (tmp_path / file).write_text("changed")
    assert engines.key(same) != before


@pytest.mark.parametrize("change", [{"links": ("y",)}, {"variables": {"a.b": "c"}}, {"generate": True}, {"name": "z"}])
def test_a_change_of_the_recipe_is_another_key(tmp_path: Path, change: dict[str, Any]) -> None:
    assert engines.key(dataclasses.replace(program(tmp_path), **change)) != engines.key(program(tmp_path))


def test_a_built_program_is_not_built_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    built = engines.built_path(program(source), tmp_path / "cache")
    built.parent.mkdir(parents=True)
    built.write_text("built")
    assert engines.build(program(source), tmp_path / "cache") == built
    assert built.read_text() == "built"


def test_kubernetes_reports_the_version_that_its_go_mod_names() -> None:
    found = engines.kubernetes()
    version = engines.required_version(found.folder, "k8s.io/kubernetes")
    assert found.variables["k8s.io/component-base/version.gitVersion"] == version
    assert found.variables["k8s.io/client-go/pkg/version.gitMinor"] == version.split(".")[1]


def test_a_module_that_go_mod_does_not_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"does not require k8s\.io/nothing"):
        engines.required_version(program(tmp_path).folder, "k8s.io/nothing")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("go version go1.26.8 linux/amd64", (1, 26, 8)), ("go version go1.26 x", (1, 26, 0)), ("devel", None)],
)
def test_versions_of_go_are_read(text: str, expected: tuple[int, int, int] | None) -> None:
    assert engines.parse_version(text) == expected


def test_the_go_line_is_the_oldest_toolchain_that_will_do() -> None:
    assert engines.wanted_version("module x\n\ngo 1.26.6\n") == (1, 26, 6)
    with pytest.raises(LocalError, match="no go line"):
        engines.wanted_version("module x\n")
