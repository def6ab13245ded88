"""Evaluation of priors on simulated held-out scans, beside total variation at its best weight."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
