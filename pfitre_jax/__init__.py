"""Limited-angle X-ray tomography in JAX: exact physics and a learned prior in one differentiable program.

The public names are listed in ``__init__.pyi``. They are imported on first use, so that ``import pfitre_jax``
alone does not load JAX.

>>> import pfitre_jax as pf
>>> scan = pf.load_scan("scan.tiff", angles="angles.csv", center=75.0, roll=1.5)  # doctest: +SKIP
>>> result = pf.reconstruct(scan, method="pfitre", rows=slice(40, 41))  # doctest: +SKIP
"""

from importlib import metadata

import lazy_loader

__version__ = metadata.version("pfitre_jax")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
