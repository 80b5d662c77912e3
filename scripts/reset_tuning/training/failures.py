"""What a user can do about the failures that only a running training meets."""

import errno

from reset_tuning.training.settings import TrainingJob

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")


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
    # torch.save and safetensors wrap the system's error in one of their own.
    text = str(error).lower()
    return "no space left" in text or "quota exceeded" in text or "file write failed" in text
