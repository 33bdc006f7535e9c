"""The style gate: function length, file length, annotations and docstrings, measured on the syntax tree.

Ruff checks that annotations and docstrings are there; this gate states the shares and the lengths as one table.
"""

import argparse
import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FUNCTION_P90 = 30
MAX_FUNCTION = 80
MAX_FILE = 500
MIN_ANNOTATED_PERCENT = 100.0
MIN_DOCSTRING_PERCENT = 90.0

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function: where it stands, its length in lines without its docstring, and whether it is annotated."""

    place: str
    lines: int
    annotated: bool


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that the gate looks at."""

    functions: list[Function]
    files: list[tuple[str, int]]
    documented: list[tuple[str, bool]]


def tracked_python_files() -> list[Path]:
    """Python files that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return [path for path in map(Path, names) if path.exists()]


def length(node: FunctionNode) -> int:
    """Lines from `def` to the end, the docstring not counted: a long explanation is no vice."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        total -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
    return total


def is_annotated(node: FunctionNode) -> bool:
    """Whether the return and every argument but self and cls has an annotation."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    named = [argument for argument in arguments if argument.arg not in {"self", "cls"}]
    return node.returns is not None and all(argument.annotation for argument in named)


def public(node: ast.AST, prefix: str) -> Iterator[tuple[str, bool]]:
    """Public classes and functions below `node`, with whether each has a docstring."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | FunctionNode) and not child.name.startswith("_"):
            yield f"{prefix}:{child.lineno} {child.name}", ast.get_docstring(child) is not None
            if isinstance(child, ast.ClassDef):
                yield from public(child, prefix)


def measure(paths: list[Path]) -> Measured:
    """Measure every file; tests count for length and annotations, not for docstrings."""
    functions: list[Function] = []
    files: list[tuple[str, int]] = []
    documented: list[tuple[str, bool]] = []
    for path in paths:
        text = path.read_text()
        tree = ast.parse(text)
        files.append((str(path), text.count("\n")))
        functions += [
            Function(place=f"{path}:{node.lineno} {node.name}", lines=length(node), annotated=is_annotated(node))
            for node in ast.walk(tree)
            if isinstance(node, FunctionNode)
        ]
        if path.parts[0] != "tests":
            documented += public(tree, str(path))
    return Measured(functions=functions, files=files, documented=documented)


def share_percent(hits: list[bool]) -> float:
    """Share of true values, in percent; an empty list has nothing to object to."""
    return 100.0 * sum(hits) / len(hits) if hits else 100.0


def main() -> int:
    """Print the table; exit 1 where a bound is broken."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    measured = measure(tracked_python_files())
    lengths = sorted(function.lines for function in measured.functions)
    p90 = lengths[len(lengths) * 9 // 10] if lengths else 0
    longest = max(measured.functions, key=lambda function: function.lines)
    longest_file = max(measured.files, key=lambda item: item[1])
    annotated = share_percent([function.annotated for function in measured.functions])
    documented = share_percent([has for _, has in measured.documented])
    rows = [
        ("function p90, lines", f"{p90}", f"<= {MAX_FUNCTION_P90}", p90 <= MAX_FUNCTION_P90, ""),
        ("function max, lines", f"{longest.lines}", f"<= {MAX_FUNCTION}", longest.lines <= MAX_FUNCTION, longest.place),
        ("file max, lines", f"{longest_file[1]}", f"<= {MAX_FILE}", longest_file[1] <= MAX_FILE, longest_file[0]),
        ("annotated, %", f"{annotated:.1f}", "= 100", annotated >= MIN_ANNOTATED_PERCENT, ""),
        ("public docstrings, %", f"{documented:.1f}", ">= 90", documented >= MIN_DOCSTRING_PERCENT, ""),
    ]
    for name, value, bound, passed, place in rows:
        print(f"style {name:24} {value:>7} {bound:>7} {'pass' if passed else 'fail'} {place}")
    for function in measured.functions:
        if not function.annotated or function.lines > MAX_FUNCTION:
            print(f"  look at {function.place}")
    return 0 if all(row[3] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
