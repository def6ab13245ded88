"""Reconstructions of other packages beside ours, on the same scans with the same measure."""
