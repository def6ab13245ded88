"""Reports: one run as a self-contained HTML page, and several runs of one scan side by side.

A page holds everything that it shows and loads nothing, so that it can be sent, kept and printed. The files
of this folder read what a run wrote, judge it, and fill the templates. None of them reconstructs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
