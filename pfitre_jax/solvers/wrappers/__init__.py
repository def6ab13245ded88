"""Solvers that wrap another solver: robust data terms and self-calibration."""
