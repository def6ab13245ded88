"""Scenes of the simulated scans, drawn or read from files."""
