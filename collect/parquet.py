"""A table as a Parquet file: typed columns, each with its unit and its meaning; by pyarrow, which is optional."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from collect.errors import CollectError
from collect.folder import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from collect.tables import Kind, Row, Table

# So many rows are held at once, and written as one group.
GROUP = 10_000
TYPES = {"text": "string", "integer": "int64", "number": "float64", "boolean": "bool"}


def write(path: Path, table: Table[Row], rows: Iterable[Row]) -> None:
    """Write a table, replacing the file; missing values are null.

    Raises:
        CollectError: pyarrow is not installed.
        FolderError: the disk is full or the file cannot be written.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise CollectError(
            "Parquet files need the package pyarrow, which is not installed; "
            "install it: .venv/bin/pip install --require-hashes -r requirements/parquet.txt"
        ) from error
    schema = pa.schema(
        [
            pa.field(column.name, TYPES[column.kind], metadata={"unit": column.unit, "meaning": column.meaning})
            for column in table.columns
        ],
        metadata={"row": table.row},
    )
    left = iter(rows)
    with replacing(path) as file, pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(left, GROUP)):
            columns = [_array(pa, [column.value(row) for row in group], column.kind) for column in table.columns]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _array(pa: Any, values: list[Any], kind: Kind) -> Any:
    if kind == "text":
        # JSON can hold halves of characters, UTF-8 cannot.
        values = [value if value is None else value.encode("utf-8", "replace").decode() for value in values]
    # Integers are below 2**53 in all that was read.
    return pa.array(values, TYPES[kind])
