"""Seeds of draws: one for each row, on every machine and in every version."""

from reset_tuning.seeds import draw_fraction, draw_seed


def test_parts_of_a_key_do_not_run_into_one_another() -> None:
    assert draw_seed(1, "1a", "sample") != draw_seed(11, "a", "sample")
    assert draw_seed(1, "a", "sample", "top_k", 1, 10) != draw_seed(
        1, "a", "sample", "top_k", 11, 0
    )


def test_a_seed_is_the_same_for_ever() -> None:
    """Another one would draw every sample and every split anew."""
    assert draw_seed(1, "a", "sample") == 1_768_630_239_858_045_792
    assert draw_fraction(1, "a", "sample") == 1_768_630_239_858_045_792 / 2**63
