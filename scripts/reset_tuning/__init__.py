"""The library behind the workflow: data, training, sampling, judging, scoring, statistics, figures.

Imports point downwards only: rules and scripts use this package; it never imports snakemake.
"""
