"""Columns of Arrow's record batches, which text and Parquet are read into."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extmap_tf.catalogs.values import to_flag


def from_arrow(batch: pa.RecordBatch, numbers: Iterable[str], texts: Iterable[str]) -> dict[str, np.ndarray]:
    """Columns of a record batch as numpy has them: float64, and flags of 3 bytes."""
    columns = {}
    for column in numbers:
        values = batch.column(column).cast(pa.float64())
        columns[column] = values.to_numpy(zero_copy_only=False)
    for column in texts:
        values = batch.column(column)
        if not pa.types.is_dictionary(values.type):
            values = pc.dictionary_encode(values)
        categories = [to_flag(value) for value in values.dictionary.to_pylist()] + [b""]
        codes = values.indices.fill_null(len(categories) - 1).to_numpy(zero_copy_only=False)
        columns[column] = np.array(categories, "S3")[codes]
    return columns


def as_texts(cells: pa.Array) -> pa.Array:
    """Cells of bytes as text: UTF-8, else Latin-1, which takes all bytes."""
    try:
        return pc.cast(cells, pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if cell is None else cell.decode("latin-1") for cell in cells.to_pylist()])
