"""Tables that an earlier job has made already, cell for cell but for the names in it.

The last weights of a training are most often its best ones: then no model needs to be loaded to
answer and score the test sets for them.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reset_tuning.files import atomic_path


def make_or_repeat(
    path: Path,
    make: Callable[[], None],
    identity: Sequence[Any],
    names: Mapping[str, Any],
    kept_in: Path,
) -> None:
    """Write the parquet table `path` by `make`, or from an equal one in the folder `kept_in`.

    `identity` is all that decides the table but for the columns `names` (each of one value).
    """
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    kept = kept_in / f"{digest[:32]}.parquet"
    if kept.exists():
        logging.info("an earlier job has made the same table: only the names differ")
        table = _renamed(pq.read_table(kept), names)
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary)
        return
    make()
    with atomic_path(kept) as temporary:
        shutil.copyfile(path, temporary)


def _renamed(table: pa.Table, names: Mapping[str, Any]) -> pa.Table:
    for name, value in names.items():
        place = table.schema.get_field_index(name)
        column = pa.repeat(pa.scalar(value, table.schema.field(place).type), len(table))
        table = table.set_column(place, table.schema.field(place), column)
    return table
