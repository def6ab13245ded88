"""Estimation of what a scan does not state: calibration, centre, roll and motion."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
