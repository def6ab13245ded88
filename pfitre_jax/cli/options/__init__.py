"""Options and arguments of the commands, one file for each panel of ``--help``."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
