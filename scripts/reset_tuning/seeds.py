"""Seeds of random draws: each comes from the row it is for, never from a position or a clock."""

import hashlib

_BITS = 63  # fits a signed 64-bit column and torch.Generator.manual_seed


def draw_seed(
    run_seed: int,
    example_id: str,
    purpose: str,
    arm: str = "",
    value: float | str = "",
    round: int = 0,
) -> int:
    """Return the 63-bit seed of one draw (of run seed, example, purpose, arm, value, round).

    Adding, removing or reordering rows leaves every other row's draw as it was.
    """
    key = "\x1f".join(str(part) for part in (run_seed, example_id, purpose, arm, value, round))
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - _BITS)


def draw_fraction(run_seed: int, example_id: str, purpose: str) -> float:
    """Return a uniform number in [0, 1) for one row, for hash splits and random subsets."""
    return draw_seed(run_seed, example_id, purpose) / (1 << _BITS)
