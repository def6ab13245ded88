"""Assessment of a result: its measured and supplied components, and out-of-distribution checks of priors."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
