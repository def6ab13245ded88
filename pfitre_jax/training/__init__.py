"""Training of priors on simulated scans, and fine-tuning on one scan."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
