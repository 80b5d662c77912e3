"""Claims on work: what happens when the lease of a process that is still alive runs out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reset_tuning import claims as claims_module
from reset_tuning.claims import Claims


@contextmanager
def claims_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Claims]:
    """Yield claims as of another machine, where only the pulse tells whether a holder lives."""
    identity = claims_module._identity()
    with monkeypatch.context() as patched:
        patched.setattr(claims_module, "_identity", lambda: identity | {"host": "elsewhere"})
        claims = Claims(folder)
    with claims:
        yield claims


def stand_still(claims: Claims) -> None:
    """Let a process look as one that was frozen for longer than its lease."""
    claims._stop.set()
    claims._pulse.join()
    os.utime(claims._own_file, (1, 1))


def test_a_claim_that_was_taken_over_stays_with_its_new_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Claims(tmp_path) as frozen, claims_elsewhere(tmp_path, monkeypatch) as holder:
        assert frozen.take("a") and frozen.take("b")
        stand_still(frozen)
        assert holder.take("a")
        frozen.release("a")  # it wakes up and ends its work
        with Claims(tmp_path) as third:
            assert not third.take("a"), "its new holder is alive"
        frozen.release("b")
        assert not (tmp_path / "b").exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_of_two_takers_of_an_abandoned_claim_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second looks again when its turn has come: the first may be through by then."""
    (tmp_path / "a").write_text("gone-1-1")
    with Claims(tmp_path) as slow, Claims(tmp_path) as fast:
        create = slow._create

        def create_after_the_other(path: Path) -> bool:
            if path.name == "a.takeover":
                assert fast.take("a")
            return create(path)

        monkeypatch.setattr(slow, "_create", create_after_the_other)
        assert not slow.take("a")
        assert (tmp_path / "a").read_text() == fast._owner
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_holder_that_wakes_up_keeps_what_it_claims_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Claims(tmp_path) as frozen, claims_elsewhere(tmp_path, monkeypatch) as other:
        assert frozen.take("a")
        stand_still(frozen)
        assert other.take("a")
        os.utime(frozen._own_file)  # its pulse beats again
        assert frozen.take("b")
        assert not other.take("b")
