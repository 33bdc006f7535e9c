"""A member's share, step by step, recomputed from what the hub published."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import fields as fields_of
from fractions import Fraction
from typing import Any

from rich.table import Table

from commonweal.equity import Charter, Contribution, FormulaError, Held, changed, compute
from commonweal.explanation import Step, explain
from commonweal.kinds.consortium import Consortium
from commonweal.kinds.equity_statement import EquityEntry, EquityStatement
from operators.cli.terminal import CommandError
from operators.hub.periods import formula, formula_sha256, held_in
from operators.kube import Kube, custom

TERM = "charter."  # begins what --set replaces in the charter; anything else is an amount of the member


@dataclass(frozen=True, kw_only=True)
class Case:
    """A published statement and all that it was computed from."""

    statement: EquityStatement
    before: Mapping[str, Held]
    consortium: Consortium


async def read_case(kube: Kube, period: str | None) -> Case:
    """The statement of a period (its name; the latest if not given), the one before it, and the charter.

    Raises:
        CommandError: no such statement, or it was made under another formula than today's.
    """
    bodies = (await kube.list(custom(EquityStatement))).items
    by_name = {body["metadata"]["name"]: EquityStatement.read(body) for body in bodies}
    if not by_name:
        raise CommandError("no EquityStatement yet; the first comes when an accounting period with readings has closed")
    name = period or max(by_name, key=lambda each: by_name[each].spec.period_end)
    if name not in by_name:
        raise CommandError(f"--period: there is no EquityStatement {name}; the latest is {max(by_name)}")
    consortium = Consortium.read(await kube.get(custom(Consortium), "charter"))
    statement = by_name[name]
    if statement.spec.charter_sha256 != formula_sha256(consortium.spec):
        raise CommandError(f"{name} was made under another equity formula than the charter's; explain a later --period")
    previous = statement.spec.previous
    if previous is not None and previous not in by_name:
        raise CommandError(f"{name} continues {previous}, which is not on the hub any more; explain a later --period")
    before = held_in(by_name[previous].spec) if previous else {}
    return Case(statement=statement, before=before, consortium=consortium)


def steps(case: Case, member: str, fields: Mapping[str, int]) -> list[Step]:
    """Every step of the member's share, with some of its amounts, or of the charter's terms, replaced where asked.

    Raises:
        CommandError: unknown member or amount, or the published share is not what the formula gives.
    """
    contributions = tuple(map(_contribution, case.statement.spec.entries))
    charter = formula(case.consortium.spec)
    try:
        recomputed = compute(charter, contributions, case.before).of(member).share_bp
        published = {entry.member: entry.equity_bp for entry in case.statement.spec.entries}[member]
        if recomputed != published:
            raise CommandError(
                f"{case.statement.metadata.name} says {published} bp for {member}, the formula gives {recomputed} bp; "
                "ask the hub's administrators"
            )
        amounts = {name: value for name, value in fields.items() if not name.startswith(TERM)}
        terms = {name.removeprefix(TERM): value for name, value in fields.items() if name.startswith(TERM)}
        return explain(_amended(charter, terms), changed(contributions, member, amounts), case.before, member)
    except FormulaError as error:
        raise CommandError(str(error)) from None


def _amended(charter: Charter, terms: Mapping[str, int]) -> Charter:
    known = sorted(one.name for one in fields_of(Charter) if one.name != "weights_bp")
    if unknown := sorted(set(terms) - set(known)):
        raise FormulaError(f"{TERM}{unknown[0]}: no such term; choose one of {', '.join(known)}")
    values: dict[str, Any] = {one.name: getattr(charter, one.name) for one in fields_of(Charter)}
    return Charter(**(values | dict(terms)))


def parse_changes(pairs: Iterable[str]) -> dict[str, int]:
    """Read `--set delivered_gpu_seconds=7200` and `--set charter.cap_bp=2500`.

    Raises:
        CommandError: not a name and a whole number.
    """
    fields = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not value.isdecimal():
            raise CommandError(f"--set {pair}: write an amount and a whole number, as delivered_gpu_seconds=7200")
        fields[name] = int(value)
    return fields


def table(case: Case, member: str, computed: Iterable[Step], title: str) -> Table:
    """The steps as a person reads them; fractions stay exact."""
    spec = case.statement.spec
    shown = Table(
        title=f"{title}: {member}, {spec.period_start:%Y-%m-%d %H:%M:%S} to {spec.period_end:%H:%M:%S} UTC"
        + (", simulated meters" if spec.simulated else ""),
        title_justify="left",
    )
    for heading in ("step", "formula", "inputs", "result"):
        shown.add_column(heading, overflow="fold")
    for step in computed:
        inputs = "\n".join(f"{name} = {_number(value)}" for name, value in step.inputs.items())
        shown.add_row(step.name, step.formula, inputs, _number(step.result))
    return shown


def plain(computed: Iterable[Step]) -> list[dict[str, Any]]:
    """The steps as JSON; fractions as `n/d`."""
    return [
        {
            "name": step.name,
            "formula": step.formula,
            "inputs": {name: _exact(value) for name, value in step.inputs.items()},
            "result": _exact(step.result),
        }
        for step in computed
    ]


def _exact(value: int | Fraction | str) -> int | str:
    return str(value) if isinstance(value, Fraction) else value


def _number(value: int | Fraction | str) -> str:
    if isinstance(value, Fraction) and value.denominator != 1:
        return f"{value} ({float(value):.6f})"
    return f"{int(value):,}".replace(",", " ") if isinstance(value, int | Fraction) else value


def _contribution(entry: EquityEntry) -> Contribution:
    return Contribution(
        member=entry.member,
        pledged_gpu_seconds=entry.pledged_gpu_seconds,
        delivered_gpu_seconds=entry.delivered_gpu_seconds,
        self_used_gpu_seconds=entry.self_used_gpu_seconds,
        used_gpu_seconds=entry.used_gpu_seconds,
        used_core_seconds=entry.used_core_seconds,
        energy_mj=entry.energy_mj,
        green_energy_mj=entry.green_energy_mj,
        talent_seconds=entry.talent_seconds,
        kept_row_seconds=entry.kept_row_seconds,
    )
