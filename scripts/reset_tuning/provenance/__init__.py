"""Where every file and every number comes from: jobs, a manifest of the run, chains, costs."""
