"""Scans and results: reading files, preprocessing to line integrals, roll, motion, and writing results."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
