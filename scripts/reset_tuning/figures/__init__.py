"""Figures (matplotlib) and readable renderings of the tables; nothing is computed here."""
