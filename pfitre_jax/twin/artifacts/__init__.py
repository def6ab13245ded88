"""Artifacts of simulated scans: one object each, listed in :mod:`pfitre_jax.twin.artifacts.registry`."""
