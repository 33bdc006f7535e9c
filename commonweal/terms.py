"""What a dataset shows, as an agreement fixes it, and which changes of its deed need a new agreement.

A deed may always show less: fewer rows, coarser values, larger groups. Whatever shows more than the trustees agreed to,
or takes away or alters what a question names, is breaking. A field that this module does not know is breaking as well.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from commonweal.kinds.data_trust import ColumnRole, Dataset
from commonweal.transparency import canonical_json

Terms = Mapping[str, Any]
# Words bind nobody, and a further source only adds rows, as a further delivery would.
_FREE = frozenset({"name", "description", "sources"})
_ALWAYS = frozenset({"columns", "rowRules", "minimumGroupSize"})
_JUDGED = _ALWAYS | {"retention"}


def terms_of(dataset: Dataset) -> str:
    """The canonical text of what counts in a dataset's declaration."""
    return canonical_json(terms_in(dataset)).decode()


def terms_in(dataset: Dataset) -> dict[str, Any]:
    """What counts in a dataset's declaration.

    Defaults are left out, so that a field which a later version adds renames no agreement.
    """
    wire = dataset.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    columns = {
        column["name"]: {
            **{field: value for field, value in column.items() if field not in _FREE},
            "type": column["type"].replace(" ", ""),
        }
        for column in wire["columns"]
    }
    rules = {rule["name"]: rule["anyOf"] for rule in wire.get("rowRules", ())}
    rest = {field: value for field, value in wire.items() if field not in _FREE}
    return {**rest, "columns": columns, "rowRules": rules}


def read_terms(text: str) -> Terms | None:
    """Terms that `terms_of` wrote; None where the text is something else."""
    try:
        terms = json.loads(text)
    except ValueError:
        return None
    if not isinstance(terms, dict) or not terms.keys() >= _ALWAYS:
        return None
    columns, kept = terms["columns"], terms.get("retention", {"column": "", "days": 0})
    known = (
        isinstance(terms["minimumGroupSize"], int)
        and isinstance(terms["rowRules"], dict)
        and isinstance(columns, dict)
        and all(isinstance(column, dict) and "role" in column for column in columns.values())
        and isinstance(kept, dict)
        and isinstance(kept.get("days"), int)
        and "column" in kept
    )
    return terms if known else None


def breaking(before: Terms, after: Terms) -> list[str]:
    """What of a change needs a new agreement, one phrase each; empty where the dataset shows the same or less."""
    return [
        *_columns(before["columns"], after["columns"]),
        *_rules(before["rowRules"], after["rowRules"]),
        *_group_size(before["minimumGroupSize"], after["minimumGroupSize"]),
        *_retention(before.get("retention"), after.get("retention")),
        *(
            f"{field}: {_words(before.get(field))} became {_words(after.get(field))}"
            for field in sorted((before.keys() | after.keys()) - _JUDGED)
            if before.get(field) != after.get(field)
        ),
    ]


def _columns(before: Mapping[str, Terms], after: Mapping[str, Terms]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        was_seen = old is not None and old["role"] != ColumnRole.HIDDEN
        is_seen = new is not None and new["role"] != ColumnRole.HIDDEN
        if old is None or new is None or was_seen != is_seen:
            if was_seen:
                yield f"columns[{name}]: cannot be asked any more"
            elif is_seen:
                yield f"columns[{name}]: can be seen now"
        elif was_seen:
            yield from _column(f"columns[{name}]", old, new)


def _column(where: str, old: Terms, new: Terms) -> Iterator[str]:
    """A mask may be put on; one that is taken off or exchanged may show more."""
    for field in sorted((old.keys() | new.keys()) - {"mask"}):
        if old.get(field) != new.get(field):
            yield f"{where}.{field}: {_words(old.get(field))} became {_words(new.get(field))}"
    if "mask" in old and old["mask"] != new.get("mask"):
        yield f"{where}.mask: {_words(old['mask'])} became {_words(new.get('mask'))}"


def _rules(before: Terms, after: Terms) -> Iterator[str]:
    for name in sorted(before):
        if before[name] != after.get(name):
            yield f"rowRules[{name}]: was {'changed' if name in after else 'removed'}"


def _group_size(before: int, after: int) -> Iterator[str]:
    if after < before:
        yield f"minimumGroupSize: {before} became {after}"


def _retention(before: Terms | None, after: Terms | None) -> Iterator[str]:
    """Rows that end sooner, or at all, are fewer rows."""
    if before is None or before == after:
        return
    if after is None or after["column"] != before["column"] or after["days"] > before["days"]:
        yield f"retention: {_words(before)} became {_words(after)}"


def _words(value: object) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
