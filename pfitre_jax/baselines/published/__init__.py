"""Published PFITRE method: network, loop and reader of checkpoints (npj Comput. Mater. 11, 240, 2025)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
