"""A run of records as columns: what every format is parsed into before anything is checked."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segmentation.store.reading.rejects import Rejects

MAX_RECORD_BYTES = 16 * 2**20


@dataclass(frozen=True, eq=False)
class Block:
    """`rows[i]` is the number of record i (1-based, over the whole file); `columns` holds cells by source name,
    null where blank.

    Cells are text, or typed where the format has types. `rejects` holds the records that could not be parsed into
    columns, and
    single cells that could not be taken over; the rows of the latter are in `damaged` and in `columns` too.
    """

    rows: NDArray[np.int64]
    columns: Mapping[str, pa.Array]
    rejects: Rejects
    damaged: NDArray[np.bool_] | None = None
