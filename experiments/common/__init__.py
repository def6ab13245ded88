"""Code that the experiments share: records of results, scans, references."""
