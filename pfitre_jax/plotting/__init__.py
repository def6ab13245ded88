"""Figures of scans, results, trials, training runs and evaluations; one file for each kind of figure.

Every function returns a :class:`matplotlib.figure.Figure` that needs no display and changes no global state.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
