"""How a rank tells why it failed, and what a user can do about memory and disk space.

A rank's sentence goes to its standard output and not to a file: a full disk takes no file.
"""

import errno
import json
import os
import sys

from reset_tuning.training.settings import TrainingJob

_MARK = "\x1efailure "
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")


def tell(sentence: str) -> None:
    """Print the sentence as a line that `told` recognises.

    In one piece, line ends included: several ranks often fail together and share one output.
    """
    sys.stdout.flush()
    os.write(sys.stdout.fileno(), f"\n{_MARK}{json.dumps(sentence)}\n".encode())


def told(line: str) -> str | None:
    """Return the first sentence in a line that `tell` printed, or None for any other line."""
    _, found, rest = line.partition(_MARK)
    try:
        return json.JSONDecoder().raw_decode(rest)[0] if found else None
    except ValueError:  # cut in two by what another rank printed
        return None


def explain(error: Exception, job: TrainingJob) -> str | None:
    """Return one sentence for a lack of memory or of disk space, or None for anything else."""
    if _is_out_of_memory(error):
        return (
            f"out of memory with micro-batches of {job.launch.micro_batch_size} rows: lower "
            "launch.micro_batch_size (what is learnt stays the same), or "
            "launch.evaluation_batch_size if it happened in an evaluation"
            + (
                ""
                if job.launch.gradient_checkpointing
                else ", or set launch.gradient_checkpointing"
            )
        )
    if _is_out_of_space(error):
        return (
            f"no space is left where {job.output} lies: make room and start again; the last state "
            "and the best weights that were complete are still there"
        )
    return None


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _MEMORY_WORDS)


def _is_out_of_space(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # Torch's writer tells only that a file is shorter than what it wrote; safetensors quotes.
    text = str(error).lower()
    return any(words in text for words in ("no space left", "quota exceeded", "inline_container"))
