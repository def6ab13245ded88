"""Readers of scan files, one module for each format."""
