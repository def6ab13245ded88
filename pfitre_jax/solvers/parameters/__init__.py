"""Estimators of a scan's noise, scale and TV weight."""
