"""What transformers and the libraries below it raise for a model that they cannot load."""

from collections.abc import Iterator
from contextlib import contextmanager

from reset_tuning.errors import InputError


@contextmanager
def loading(what: str, advice: str = "") -> Iterator[None]:
    """Raise InputError that names `what` in place of their many errors for one that is broken.

    Their first line is told, and `advice` behind it.
    """
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    broken = (OSError, ValueError, ImportError, EOFError, UnpicklingError, SafetensorError)
    try:
        yield
    except broken as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{what} cannot be loaded: {reason}{advice}") from error
