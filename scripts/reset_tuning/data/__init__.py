"""Raw files to examples, examples to training mixtures."""
