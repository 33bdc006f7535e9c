"""Equity from scratch or from where an earlier run stood: postings replayed against every published statement."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from commonweal.equity import Charter, FormulaError, Statement
from commonweal.kinds.consortium import Consortium
from commonweal.kinds.equity_statement import EquityEntry, EquityStatement
from commonweal.replay import START, Closing, Position, advance
from operators.cli import postings
from operators.cli.terminal import CommandError
from operators.hub.periods import entry_of, formula, formula_sha256
from operators.kube import Json, Kube, custom


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the hub published: the statements in their order, and the formula of each charter by its hash."""

    statements: tuple[EquityStatement, ...]
    formulas: Mapping[str, Charter]


async def from_hub(kube: Kube) -> tuple[list[Json], list[Json]]:
    """The bodies of all statements and of the charter, as the hub has them now."""
    statements = (await kube.list(custom(EquityStatement))).items
    return list(statements), [await kube.get(custom(Consortium), "charter")]


def from_files(statements: Path, charters: Iterable[Path]) -> tuple[list[Json], list[Json]]:
    """The same from files: what `kubectl get equitystatements -o json` prints, and manifests of charters.

    Raises:
        CommandError: a file that is missing or is something else.
    """
    return items(statements, "--statements"), [_load(each, "--charter") for each in charters]


def items(path: Path, option: str) -> list[Json]:
    """The objects in a file that `kubectl get ... -o json` printed.

    Raises:
        CommandError: the file is missing or is something else.
    """
    listed = _load(path, option).get("items")
    if not isinstance(listed, list) or not all(isinstance(each, dict) and "metadata" in each for each in listed):
        raise CommandError(f"{option}: {path} is no list; give what `kubectl get ... -o json` prints")
    return listed


def _load(path: Path, option: str) -> Json:
    if not path.is_file():
        raise CommandError(f"{option}: {path} does not exist")
    text = path.read_text("utf-8")
    try:
        found = json.loads(text) if text.startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise CommandError(f"{option}: {path} is neither JSON nor YAML: {error}") from None
    if not isinstance(found, dict):
        raise CommandError(f"{option}: {path} is not an object of Kubernetes; give what `kubectl get -o json` prints")
    return found


def published(bodies: Sequence[Json], charters: Sequence[Json], after: str) -> Published:
    """The statements that follow one (empty: all of them), in order and without a gap.

    Raises:
        CommandError: none follows, one is missing in between, or its formula is not among the charters.
    """
    chosen = [body for body in bodies if str(body["metadata"].get("name")) > after]
    statements = tuple(sorted(map(EquityStatement.read, chosen), key=lambda each: each.metadata.name))
    if not statements:
        raise CommandError(f"--statements: none follows {after or 'the beginning'}; there is nothing to recompute")
    specs = [Consortium.read(body).spec for body in charters]
    formulas = {formula_sha256(spec): formula(spec) for spec in specs}
    expected = after or None
    for statement in statements:
        name, spec = statement.metadata.name, statement.spec
        if spec.previous != expected:
            raise CommandError(
                f"--statements: {name} follows {spec.previous or 'nothing'}, not {expected or 'nothing'}; "
                "give every statement from the first, or from the one that --since stands at"
            )
        if spec.charter_sha256 not in formulas:
            raise CommandError(f"--charter: none has the formula {spec.charter_sha256} of {name}; give that one too")
        expected = name
    return Published(statements=statements, formulas=formulas)


def position_in(path: Path | None) -> Position:
    """Where an earlier run stood; the beginning without a file.

    Raises:
        CommandError: not a file that a run wrote.
    """
    if path is None:
        return START
    if not path.is_file():
        raise CommandError(f"--since: {path} does not exist; name what an earlier run wrote by --out")
    try:
        return Position.read(path.read_bytes())
    except FormulaError as error:
        raise CommandError(f"--since: {path}: {error}") from None


def recompute(files: Sequence[Path], told: Published, position: Position) -> Position:
    """Replay the postings; every statement must come out as it was published.

    Raises:
        CommandError: a row that no book can hold, or a statement that does not come out.
    """
    names = [statement.metadata.name for statement in told.statements]
    sums = postings.summed(files, names, position.statement)
    for statement in told.statements:
        name, spec = statement.metadata.name, statement.spec
        flows, count = sums[name]
        closing = Closing(
            name=name,
            charter=told.formulas[spec.charter_sha256],
            flows=flows,
            postings=count,
            pledged_gpu_seconds={entry.member: entry.pledged_gpu_seconds for entry in spec.entries},
        )
        position, computed = advance(position, closing)
        _refuse_difference(statement, computed)
    return position


def _refuse_difference(statement: EquityStatement, computed: Statement) -> None:
    found = {standing.member: entry_of(standing) for standing in computed.standings}
    for name in EquityEntry.model_fields:  # amounts come before what is computed from them, so the cause is named
        for said in statement.spec.entries:
            if (ours := getattr(found[said.member], name)) != (theirs := getattr(said, name)):
                raise CommandError(
                    f"{statement.metadata.name}: {said.member}.{name} is {theirs} as published, {ours} by the "
                    "postings; ask the hub's administrators"
                )
