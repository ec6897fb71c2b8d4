"""What a partition brings to the fit of a model: a sample of its customers as Parquet, statistics of all as arrays; and
what its customers are under a model that was fitted.

Objects of a fit that is under way. Their size is bounded, whatever the partition holds.
"""

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import (
    BooleanColumn,
    Column,
    DateColumn,
    Frame,
    ListColumn,
    NumberColumn,
    StringColumn,
)
from segmentation.engine.lifetime.purchases import Purchases
from segmentation.engine.modelling.kinds import FITTED, REPORTS, Fitted, Report
from segmentation.engine.modelling.pooled import Described, Pooled
from segmentation.engine.sketches import sample
from segmentation.engine.sketches.histogram import Histogram
from segmentation.engine.sketches.histories import Histories
from segmentation.engine.sketches.sample import Drawn
from segmentation.store.files import Files
from segmentation.store.snapshot_columns import single
from segmentation.store.snapshot_frame import column_of

_DAYS, _AMOUNTS, _HASHES = "purchase days", "purchase amounts", "customer hash"
"""No attribute has a blank in its name."""
_CUSTOMERS = b"customers"

_READERS = 8


@dataclass(frozen=True, eq=False)
class Brought:
    """A sample of the population's `customers`, in order of their hashes, and their purchases: all of them if there
    are not more.
    """

    customers: int
    frame: Frame
    purchases: Purchases | None

    @property
    def is_everybody(self) -> bool:
        """Whether the sample is the population."""
        return self.frame.size == self.customers


def put(
    files: Files, key: str, drawn: Drawn, customers: int, columns: Mapping[str, Column], purchases: Purchases | None
) -> None:
    """Keep these columns of the customers who were drawn of so many, and their purchases if given. No ids are kept."""
    table: dict[str, Any] = {_HASHES: pa.array(drawn.hashes)}
    table |= {name: _arrow(column) for name, column in columns.items()}
    if purchases is not None:
        offsets = pa.array(purchases.offsets.astype(np.int32))
        table[_DAYS] = pa.ListArray.from_arrays(offsets, pa.array(purchases.day))
        table[_AMOUNTS] = pa.ListArray.from_arrays(offsets, pa.array(purchases.amount))
    described = pa.table(table).replace_schema_metadata({_CUSTOMERS: str(customers)})
    with files.put_stream(key) as sink:
        pq.write_table(described, sink, compression="zstd", compression_level=1)


def get(files: Files, keys: Sequence[str], most: int) -> Brought:
    """A sample of at most so many of all partitions' customers, the same however they are parted: the columns that
    every partition brought, and purchases.
    """
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        parts = list(pool.map(lambda key: pq.read_table(files.open_range(key)), keys))
    if not parts:
        return Brought(0, Frame(0), None)
    counts = [int(part.schema.metadata[_CUSTOMERS]) for part in parts]
    hashes = [single(part.column(_HASHES)).to_numpy() for part in parts]
    limit = sample.limit_of([Drawn(own, len(own) == count) for own, count in zip(hashes, counts, strict=True)], most)
    shared = [name for name in parts[0].column_names if all(name in part.column_names for part in parts)]
    chosen = [
        part.select(shared).filter(pa.array(sample.below(own, limit))) for part, own in zip(parts, hashes, strict=True)
    ]
    del parts
    table = pa.concat_tables(chosen, promote_options="permissive").unify_dictionaries().combine_chunks()
    table = table.take(pa.array(np.argsort(single(table.column(_HASHES)).to_numpy(), kind="stable")))
    purchases = None
    if _DAYS in shared:
        days, amounts = (single(table.column(name)) for name in (_DAYS, _AMOUNTS))
        offsets = days.offsets.to_numpy().astype(np.int64) - days.offsets[0].as_py()
        purchases = Purchases(offsets, days.flatten().to_numpy(), amounts.flatten().to_numpy())
    names = [name for name in shared if name not in (_HASHES, _DAYS, _AMOUNTS)]
    columns = {name: _in_order(column_of(table.column(name))) for name in names}
    return Brought(sum(counts), Frame(table.num_rows, columns), purchases)


def put_fitted(files: Files, key: str, fitted: Fitted, report: Report | None) -> None:
    """Keep a model, and its report as far as it is known."""
    document = {"model": to_document(fitted), "report": to_document(report)}
    files.put(key, gzip.compress(json.dumps(document, allow_nan=False).encode(), mtime=0))


def get_fitted(files: Files, key: str, kind: str) -> tuple[Fitted, Report | None] | None:
    """The model of this kind, None if none is kept."""
    # Whoever may only list some prefixes is not told that an object does not exist, but that it may not be read.
    if key not in files.list(key):
        return None
    document = json.loads(gzip.decompress(files.get(key)))
    report = document["report"]
    return from_document(FITTED[kind], document["model"]), report and from_document(REPORTS[kind], report)


def put_pooled(files: Files, key: str, pooled: Pooled) -> None:
    """Keep a partition's statistics."""
    arrays = {f"histories {name}": getattr(pooled.histories, name) for name in _OF_HISTORIES}
    facts = {"customers": pooled.customers, "known": pooled.known, "level": pooled.histories.level}
    files.put(key, _packed(facts, arrays, pooled.values))


def get_pooled(files: Files, key: str) -> Pooled:
    """A partition's statistics. Raises NotFound."""
    facts, arrays, values = _unpacked(files.get(key))
    histories = Histories(facts["level"], *(arrays[f"histories {name}"] for name in _OF_HISTORIES))
    return Pooled(facts["customers"], facts["known"], values, histories)


def put_described(files: Files, key: str, described: Described) -> None:
    """Keep what a partition's customers are under the model."""
    facts = {
        "counts": {name: counts.tolist() for name, counts in described.counts.items()},
        "sums": {name: [str(total) for total in sums] for name, sums in described.sums.items()},
    }
    files.put(key, _packed(facts, {}, described.values))


def get_described(files: Files, key: str) -> Described:
    """What a partition's customers are under the model. Raises NotFound."""
    facts, _, values = _unpacked(files.get(key))
    return Described(
        counts={name: np.array(counts, dtype=np.int64) for name, counts in facts["counts"].items()},
        sums={name: tuple(Fraction(total) for total in sums) for name, sums in facts["sums"].items()},
        values=values,
    )


_OF_HISTORIES = ("frequency", "recency", "age", "count")
_OF_HISTOGRAM = ("group", "low", "high", "count")
_FACTS = "facts"


def _packed(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Histogram]) -> bytes:
    """Facts as JSON and arrays as numpy's, in one archive. Histograms go by number: a name may hold anything."""
    named = [{"name": name, "level": values[name].level} for name in values]
    histograms = {
        f"histogram {number} {part}": getattr(histogram, part)
        for number, histogram in enumerate(values.values())
        for part in _OF_HISTOGRAM
    }
    body = json.dumps({**facts, "histograms": named}).encode()
    sink = io.BytesIO()
    packed: dict[str, Any] = {_FACTS: np.frombuffer(body, dtype=np.uint8), **arrays, **histograms}
    np.savez_compressed(sink, **packed)
    return sink.getvalue()


def _unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]], dict[str, Histogram]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    facts = json.loads(arrays.pop(_FACTS).tobytes())
    values = {
        each["name"]: Histogram(each["level"], *(arrays[f"histogram {number} {part}"] for part in _OF_HISTOGRAM))
        for number, each in enumerate(facts["histograms"])
    }
    return facts, arrays, values


def _in_order(column: Column) -> Column:
    """Texts coded in order of the texts, of those that occur: no code depends on which partition came first."""
    if not isinstance(column, StringColumn | ListColumn):
        return column
    used = np.flatnonzero(np.bincount(column.codes[column.codes >= 0], minlength=len(column.values)))
    order = sorted(used.tolist(), key=lambda code: column.values[code])
    codes = np.full(len(column.values) + 1, -1, dtype=np.int32)
    codes[order] = np.arange(len(order))
    values = tuple(column.values[code] for code in order)
    if isinstance(column, StringColumn):
        return StringColumn(codes[column.codes], values)
    return ListColumn(column.offsets, codes[column.codes], values, column.absent)


def _arrow(column: Column) -> pa.Array:
    match column:
        case StringColumn():
            return _dictionary(column.codes, column.values)
        case NumberColumn():
            return pa.array(column.values)
        case DateColumn():
            return pa.array(column.values, pa.timestamp("us", tz="UTC"))
        case BooleanColumn():
            return pa.array(column.values == 1, mask=column.values < 0)
        case ListColumn():
            offsets = pa.array(column.offsets.astype(np.int32), mask=np.append(column.absent, False))
            return pa.ListArray.from_arrays(offsets, pa.array(column.values, pa.string()).take(pa.array(column.codes)))
    raise TypeError(f"a {type(column).__name__} is no feature")


def _dictionary(codes: np.ndarray[tuple[int], np.dtype[np.int32]], values: tuple[str, ...]) -> pa.Array:
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()))
