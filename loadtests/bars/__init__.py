"""Bars: every promise is a small script that measures it and prints `name value unit bound pass|fail`.

A bar is a module of this folder with `NEEDS_DEMO` (does it need the running demo?) and
`measure() -> list[Measurement]`; the first line of its docstring says what it proves. Its name on the command line has
dashes for underscores.
"""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measured figure against its bound; `value` and `bound` are in `unit`, `at_most` says which way is good."""

    name: str
    value: float | Fraction
    unit: str
    bound: float
    at_most: bool = True
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure keeps its bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def line(self) -> str:
        """The one line a bar prints."""
        sign = "<=" if self.at_most else ">="
        verdict = "pass" if self.passed else "fail"
        line = f"{self.name} {float(self.value):.6g} {self.unit} {sign}{self.bound:.6g} {verdict}"
        return f"{line} ({self.note})" if self.note else line
