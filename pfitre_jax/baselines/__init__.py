"""Published methods of others, as baselines."""
