"""Solvers, priors and networks that are neither a default nor a method of the command line."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
