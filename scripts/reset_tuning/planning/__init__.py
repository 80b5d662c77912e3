"""What an experiment will cost before it runs: jobs, GPU-hours, tokens, dollars, disk."""
