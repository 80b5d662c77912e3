"""The directory of a training's unfinished files, and what tells whether it may go on there.

It lies beside the declared outputs and is none of them, so it survives a failed job. Inside:
fingerprint.json, the encoded rows, checkpoint-<step>/ (optimiser, partitioned weights, random
states; complete when it holds complete.json), best-<step>/ (weights), and at the end last/,
history.csv and report.json.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path, flush, flush_tree

logger = logging.getLogger(__name__)

# Raise it when a state that was written before can no longer be gone on from.
STATE_FORMAT = 1

REPORT = "report.json"  # what rank 0 says of a finished training; its last file
_FINGERPRINT = "fingerprint.json"
_COMPLETE = "complete.json"
_PREFIX = "checkpoint-"


def open_directory(directory: Path, identity: Mapping[str, Any], ranks: int) -> None:
    """Make the directory ready: keep what belongs to this training, set aside what does not.

    `identity` is everything that decides what is learnt. What was set aside earlier comes back
    with its training: a setting that was changed by mistake costs nothing once it is undone. Raises
    InputError when a state of this very training was written by another number of ranks:
    DeepSpeed's partitions fit that one only.
    """
    wanted = json.loads(json.dumps({"state_format": STATE_FORMAT, **identity}))
    found = _read(directory / _FINGERPRINT)
    if directory.exists() and (found is None or found.get("training") != wanted):
        _set_aside(directory, found, wanted)
    if not directory.exists():
        _bring_back(directory, wanted)
    found = _read(directory / _FINGERPRINT)
    if found is not None and found["ranks"] != ranks and _unfinished_state(directory):
        raise InputError(
            f"{directory} holds the state of this training by {found['ranks']} ranks, but this job "
            f"has {ranks}: give it {found['ranks']}, or delete that directory to start again"
        )
    directory.mkdir(parents=True, exist_ok=True)
    _remove_half_written(directory)
    starts = [] if found is None else found.get("starts", [])
    _write(directory / _FINGERPRINT, {"training": wanted, "ranks": ranks, "starts": starts})


def record_start(directory: Path, start: Mapping[str, Any]) -> None:
    """Note that a training starts here from its last state, and with what.

    Commit and versions are recorded and not compared: most changes of code change no training.
    """
    fingerprint = json.loads((directory / _FINGERPRINT).read_text())
    state = last_state(directory)
    fingerprint["starts"].append({"from_step": 0 if state is None else _step_of(state), **start})
    _write(directory / _FINGERPRINT, fingerprint)


def read_starts(directory: Path) -> list[dict[str, Any]]:
    """Return what `record_start` has noted of the training, oldest first."""
    return json.loads((directory / _FINGERPRINT).read_text())["starts"]


def stale_directories(directory: Path) -> list[Path]:
    """Return where states of other trainings were moved; they go when one training succeeds."""
    return sorted(directory.parent.glob(f"{directory.name}.stale-*"))


def close_directory(directory: Path) -> None:
    """Remove the directory of a published training, and those of other trainings beside it.

    A state that nobody knows stays: it may be all that is left of a training made by hand.
    """
    shutil.rmtree(directory)
    for stale in stale_directories(directory):
        logger.info("%s goes: it held a state of other settings or data", stale)
        shutil.rmtree(stale, ignore_errors=True)
    if _unknown(directory).exists():
        logger.warning("%s stays: delete it when nobody needs it", _unknown(directory))


def last_state(directory: Path) -> Path | None:
    """Return the newest complete state, or None; half-written ones do not count."""
    return max(_states(directory), key=_step_of, default=None)


def read_state(state: Path) -> dict[str, Any]:
    """Return what was given to `complete_state`."""
    return json.loads((state / _COMPLETE).read_text())


def complete_state(state: Path, content: Mapping[str, Any]) -> None:
    """Declare a written state complete, and remove the older ones once that is on the disk.

    Every machine must have flushed what it wrote of the state: no other one can do it.
    """
    _write(state / _COMPLETE, content)
    flush(state.parent)
    for other in state.parent.glob(f"{_PREFIX}*"):
        if other != state:
            shutil.rmtree(other)


def complete_training(directory: Path, report: Mapping[str, Any]) -> None:
    """Declare a training finished once its files are on the disk."""
    for name in ("best", "last", "history.csv"):
        flush_tree(directory / name)
    _write(directory / REPORT, report)


def is_finished(directory: Path) -> bool:
    """Tell whether the training in the directory has nothing left to do."""
    return (directory / REPORT).exists()


def is_worth_keeping(directory: Path) -> bool:
    """Tell whether a failed job leaves something in the directory to go on from."""
    return is_finished(directory) or last_state(directory) is not None


def _unfinished_state(directory: Path) -> bool:
    return last_state(directory) is not None and not is_finished(directory)


def _states(directory: Path) -> list[Path]:
    return [
        path.parent for path in directory.glob(f"{_PREFIX}*/{_COMPLETE}") if _read(path) is not None
    ]


def _remove_half_written(directory: Path) -> None:
    """Make room: what is left of a state that was never completed serves nobody."""
    complete = _states(directory)
    for state in directory.glob(f"{_PREFIX}*"):
        if state not in complete:
            shutil.rmtree(state)


def _step_of(state: Path) -> int:
    return int(state.name.removeprefix(_PREFIX))


def _set_aside(directory: Path, found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> None:
    """Rename a directory of another training, or of one that cannot be told from its fingerprint.

    Without a complete state in it there is nothing to keep.
    """
    if not is_worth_keeping(directory):
        shutil.rmtree(directory)
        return
    if found is None:
        aside = _unknown(directory)
        reason = f"no {_FINGERPRINT} that can be read tells which training {directory} is of"
    else:
        aside = _place_aside(directory, found.get("training"))
        differences = _differences(found.get("training"), wanted)
        reason = f"the state in {directory} is of another training ({differences} differs)"
    if aside.exists():
        raise InputError(f"{reason}, and {aside} exists already: move or delete one of them")
    directory.rename(aside)
    logger.warning("%s", reason)
    logger.warning("it was moved to %s", aside)


def _unknown(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.unknown")


def _bring_back(directory: Path, wanted: Mapping[str, Any]) -> None:
    aside = _place_aside(directory, wanted)
    if aside.exists():
        aside.rename(directory)
        logger.warning("the state in %s is of this training and was moved back", aside)


def _place_aside(directory: Path, training: Any) -> Path:
    """Return where a state of a training waits: every training has a place of its own."""
    digest = hashlib.sha256(json.dumps(training, sort_keys=True).encode()).hexdigest()
    return directory.with_name(f"{directory.name}.stale-{digest[:8]}")


def _differences(found: Any, wanted: Mapping[str, Any], prefix: str = "") -> str:
    """Name the entries that differ, nested ones by their path."""
    if not isinstance(found, dict):
        return prefix or "everything"
    names = []
    for key in sorted(found.keys() | wanted.keys()):
        if found.get(key) != wanted.get(key):
            name = f"{prefix}{key}"
            nested = isinstance(wanted.get(key), dict) and isinstance(found.get(key), dict)
            names.append(_differences(found[key], wanted[key], f"{name}.") if nested else name)
    return ", ".join(names)


def _read(path: Path) -> dict[str, Any] | None:
    """Return the JSON object of a file, or None when it is absent or half-written.

    A file that the disk refuses is neither: what lies beside it must not be removed.
    """
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}), so nothing beside it was touched: see to "
            "its disk or its rights, and start again"
        ) from error
    return content if isinstance(content, dict) else None


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole and on the disk."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        flush(temporary)
    flush(path.parent)
