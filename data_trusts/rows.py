"""Which rows a dataset takes: each field by the type that the trust declared, or the row and the field are named."""

import pyarrow as pa
import pyarrow.compute as pc

from commonweal.grants import PolicyDataset
from commonweal.kinds.data_trust import ColumnRole


class RowsRefusedError(ValueError):
    """A file breaks the dataset's schema; the message names row and field, and what to do. Rows count from 1."""


def conform(incoming: pa.Table, dataset: PolicyDataset, schema: pa.Schema) -> pa.Table:
    """The rows with exactly the types of `schema`, an Arrow schema in the dataset's column order.

    Only exact conversions are made: narrower to wider integers and decimals, one text form to another.

    Raises:
        RowsRefusedError: at the first field, and in it the first row, that does not fit.
    """
    names = [column.name for column in dataset.columns]
    missing = [name for name in names if name not in incoming.column_names]
    unknown = [name for name in incoming.column_names if name not in names]
    repeated = [name for name in names if incoming.column_names.count(name) > 1]
    if missing or unknown or repeated:
        problem, which = next(
            (problem, which)
            for problem, which in (("missing", missing), ("not in the schema", unknown), ("there twice", repeated))
            if which
        )
        raise RowsRefusedError(f"field {which[0]}: {problem}; {dataset.name} has exactly {', '.join(names)}")
    columns = [
        _conform_column(incoming.column(column.name), schema.field(column.name).type, column.name, column.type)
        for column in dataset.columns
    ]
    for column, values in zip(dataset.columns, columns, strict=True):
        dates = dataset.retention is not None and dataset.retention.column == column.name
        needed_by = "a measure" if column.role is ColumnRole.MEASURE else "retention" if dates else None
        _forbid_missing(values, column.name, needed_by)
        if column.name == dataset.licence_column:
            _forbid_other(values, column.name, dataset.licences)
    return pa.Table.from_arrays(columns, schema=schema)


def _conform_column(values: pa.ChunkedArray, to_type: pa.DataType, name: str, declared: str) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not _exact(values.type, to_type):
        hint = "give it a time zone" if pa.types.is_timestamp(values.type) else f"write it as {declared}"
        raise RowsRefusedError(f"field {name}: is {values.type}, which is not {declared}; {hint}")
    try:
        return values.cast(to_type)
    except pa.ArrowInvalid:
        for row, value in enumerate(values, start=1):
            try:
                value.cast(to_type)
            except pa.ArrowInvalid:
                message = f"row {row}, field {name}: {value} does not fit {declared}; correct the row"
                raise RowsRefusedError(message) from None
        raise


def _exact(from_type: pa.DataType, to_type: pa.DataType) -> bool:
    """Whether a conversion can be exact; whether it is, each value says."""
    if pa.types.is_null(from_type):
        return True  # a column without a value in any row
    for is_target, is_source in _EXACT:
        if is_target(to_type):
            return is_source(from_type)
    return bool(from_type == to_type)


def _forbid_missing(values: pa.ChunkedArray, name: str, needed_by: str | None) -> None:
    if needed_by and values.null_count:
        row = pc.index(values.is_null(), True).as_py() + 1
        raise RowsRefusedError(f"row {row}, field {name}: is empty; {needed_by} needs a value in every row")
    if pa.types.is_floating(values.type):
        finite = pc.fill_null(pc.is_finite(values), True)
        if not pc.all(finite, min_count=0).as_py():
            row = pc.index(finite, False).as_py() + 1
            raise RowsRefusedError(f"row {row}, field {name}: is not a finite number; correct the row")


def _forbid_other(values: pa.ChunkedArray, name: str, licences: tuple[str, ...]) -> None:
    known = pc.is_in(values, value_set=pa.array(licences, values.type))
    if not pc.all(known, min_count=0).as_py():
        row = pc.index(known, False).as_py()
        said = f"{values[row]} is" if values[row].is_valid else "nothing is"
        raise RowsRefusedError(
            f"row {row + 1}, field {name}: {said} no licence of this dataset; it has {', '.join(licences)}"
        )


def _is_text(of_type: pa.DataType) -> bool:
    return bool(pa.types.is_string(of_type) or pa.types.is_large_string(of_type))


def _is_whole(of_type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(of_type))


def _is_exact_number(of_type: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(of_type)) or _is_whole(of_type)


def _is_float(of_type: pa.DataType) -> bool:
    return bool(pa.types.is_floating(of_type))


def _is_instant(of_type: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(of_type)) and of_type.tz is not None


_EXACT = (
    (_is_whole, _is_whole),
    (_is_exact_number, _is_exact_number),
    (_is_float, _is_float),
    (_is_instant, _is_instant),
    (_is_text, _is_text),
)
