"""The library behind the workflow: data, training, sampling, judging, scoring, statistics, figures.

Imports point downwards only: rules and scripts use this package; it never imports snakemake.
"""

import gc

# Importing torch and transformers makes half a million objects that stay. At its default the
# collector walks through all of them again and again: an eighth of the time of such an import.
gc.set_threshold(100_000, 100, 1000)
