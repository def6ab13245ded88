"""Iterative reconstruction of one slice; batches of slices come from ``jax.vmap``."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
