"""Calls and operators for other programs: TomoPy, SCICO, DeepInverse, ASTRA and tomviz.

Each module is named after the program that it serves, and imports it only when a function needs it.

>>> from pfitre_jax import interop
>>> volume = interop.tomopy.recon(tomo, theta, center=75.0)  # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
