"""Scores of outputs: coverage and exact match, ROUGE-L, SummaC-ZS (PAPER section 3)."""
