"""Scores of outputs: coverage and exact match, ROUGE-L, SummaC-ZS."""
