"""Generation: what is drawn (decodings, pool), by which backend, and what is already known."""
