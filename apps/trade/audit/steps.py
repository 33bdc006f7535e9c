"""The form of a trace: numbered steps over named operands, one canonical line and one Merkle leaf each."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal

from apps.trade.audit.formulas import Formula
from apps.trade.views import plain
from commonweal.transparency import canonical_json, leaf_hash, root


@dataclass(frozen=True, kw_only=True)
class Operand:
    """A value that goes into a step: `source` is `step:N`, or `ROLE#/pointer` into an input or a rule file."""

    name: str
    unit: str
    value: Decimal | str
    source: str

    def named(self, name: str) -> "Operand":
        """The same value in another step's words."""
        return Operand(name=name, unit=self.unit, value=self.value, source=self.source)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One application of an equation; `of` is the product or the consignment that it is about."""

    number: int
    of: str
    formula: Formula
    operands: tuple[Operand, ...]
    output: Decimal

    def line(self) -> bytes:
        """The step as it is written and hashed."""
        citation = asdict(self.formula)
        return canonical_json(
            {
                "step": self.number,
                "of": self.of,
                "formula": citation.pop("id"),
                "says": citation.pop("says"),
                "inputs": [
                    {"name": each.name, "unit": each.unit, "value": _written(each.value), "from": each.source}
                    for each in self.operands
                ],
                "output": {"value": plain(self.output), "unit": citation.pop("unit")},
                "citation": citation,
            }
        )


@dataclass
class Trace:
    """Steps in the order in which they were taken."""

    steps: list[Step] = field(default_factory=list)

    def add(self, of: str, formula: Formula, operands: Sequence[Operand], output: Decimal) -> Operand:
        """Append a step; what it gives back stands for its output in later steps."""
        number = len(self.steps)
        self.steps.append(Step(number=number, of=of, formula=formula, operands=tuple(operands), output=output))
        return Operand(name=formula.id, unit=formula.unit, value=output, source=f"step:{number}")

    def lines(self) -> list[bytes]:
        """Every step, written."""
        return [step.line() for step in self.steps]


def trace_root(lines: Sequence[bytes]) -> str:
    """Root of the Merkle tree (RFC 9162) over the lines, in hexadecimal."""
    return root([leaf_hash(line) for line in lines]).hex()


def _written(value: Decimal | str) -> str:
    return plain(value) if isinstance(value, Decimal) else value
