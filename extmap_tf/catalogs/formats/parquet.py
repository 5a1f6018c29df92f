"""Parquet."""

from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.parquet

from extmap_tf.catalogs.formats.arrow_batches import from_arrow
from extmap_tf.catalogs.formats.base import MAX_WHOLE_BYTES, Table, readable, units_in_yaml
from extmap_tf.errors import DataError

if TYPE_CHECKING:
    from astropy.table import Table as AstropyTable

_NUMBERS = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_null)
# Rows are read a group at a time.
_MAX_GROUP_BYTES = 1 << 31


class Parquet(Table):
    """A Parquet file; units as astropy and this software write them."""

    format = "Parquet"

    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__(stream, name)
        stream.seek(0)
        file = pa.parquet.ParquetFile(stream)
        self._schema = file.schema_arrow
        self.names = tuple(self._schema.names)
        self.units = _units(self._schema)
        if len(set(self.names)) < len(self.names):
            raise DataError(f"{name}: two columns have the same name")

    def _batches(self, numbers, texts, batch_rows):
        self.stream.seek(0)
        file = pa.parquet.ParquetFile(self.stream, read_dictionary=texts)
        as_text = set()
        for column in numbers:
            kind = self._schema.field(column).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                as_text.add(column)
            elif not any(is_kind(kind) for is_kind in _NUMBERS):
                raise DataError(f"{self.name}: column {column} must hold numbers, it holds {kind}")
        self._require_bounded(file.metadata, {*numbers, *texts})
        plain = [column for column in numbers if column not in as_text]
        for batch in file.iter_batches(batch_rows, columns=[*numbers, *texts]):
            columns = from_arrow(batch, plain, texts)
            yield columns | {
                column: self._as_numbers(column, batch.column(column).cast(pa.string())) for column in as_text
            }

    def _require_bounded(self, metadata, wanted):
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            # Arrow ends the process where the metadata of a single column are damaged: look only if need be.
            if row_group.total_byte_size <= _MAX_GROUP_BYTES:
                continue
            chunks = (row_group.column(i) for i in range(row_group.num_columns))
            n_bytes = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema in wanted)
            if n_bytes > _MAX_GROUP_BYTES:
                raise DataError(
                    f"{self.name}: a row group of {n_bytes / 1e9:.1f} GB; at most "
                    f"{_MAX_GROUP_BYTES / 1e9:.1f} GB are read at once: write it in smaller row groups"
                )

    def arrow(self) -> pa.Table:
        """The whole as an Arrow table, which knows the types that a copy shall keep."""
        with readable(self.name):
            self.stream.seek(0)
            file = pa.parquet.ParquetFile(self.stream)
        n_bytes = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        if n_bytes > MAX_WHOLE_BYTES:
            raise DataError(
                f"{self.name}: a table to be written again is held whole, of at most {MAX_WHOLE_BYTES >> 20} "
                "MB: give it in parts"
            )
        with readable(self.name):
            return file.read()

    def whole(self) -> "AstropyTable":
        from astropy.table import Table as AstropyTable

        arrow = self.arrow()
        # Text that is no UTF-8 is found only now.
        with readable(self.name):
            return AstropyTable({name: arrow[name].to_numpy() for name in arrow.column_names})


def _units(schema):
    units = {}
    about = (schema.metadata or {}).get(b"table_meta_yaml")
    if about:
        units = units_in_yaml(about.decode().split("\n"))
    for name in schema.names:
        unit = (schema.field(name).metadata or {}).get(b"unit")
        if unit:
            units[name] = unit.decode()
    return units
