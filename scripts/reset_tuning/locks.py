"""Locks of several experiments that run from one folder at once.

When a run of Snakemake ends, it removes the folder of all locks (9.27, `_delete_locks`): those of a
run that goes on beside it are lost, and one that starts or ends at that moment stops with a
traceback about a missing folder.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4


def with_own_locks(records: type) -> type:
    """Return Snakemake's class of a folder's records, by which a run removes its own locks alone.

    `records` is `snakemake.persistence.file.FilePersistence`.
    """

    class OwnLocks(records):  # type: ignore[valid-type, misc]
        _lockdir: str
        _lockfile: dict[str, str]

        def _read_locks(self) -> list[tuple[str, str]]:
            while True:
                try:
                    return list(super()._read_locks())
                except FileNotFoundError:  # a run ended between the listing and the reading
                    continue

        def _write_locks(self, lock_type: str, keys: Iterable[Any]) -> None:
            if lines := [f"{key}\n" for key in keys]:
                # A name that no other run has had: a number is all that Snakemake finds.
                path = Path(self._lockdir, f"{uuid4().int}.{lock_type}.lock")
                path.parent.mkdir(parents=True, exist_ok=True)  # gone after --unlock
                self._lockfile[lock_type] = str(path)
                path.write_text("".join(lines))

        def cleanup_locks(self) -> None:
            """Remove the locks of all runs (`snakemake --unlock`)."""
            super()._delete_locks()

        def _delete_locks(self) -> None:
            for path in self._lockfile.values():
                Path(path).unlink(missing_ok=True)
            self._lockfile.clear()

    return OwnLocks
