"""From scores to the tables of metrics/: accounting, averages over test sets and seeds."""
