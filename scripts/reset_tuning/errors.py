"""The one exception that a user can cause."""


class InputError(ValueError):
    """Bad input, told in one sentence: what is wrong, where, and what to do about it."""
