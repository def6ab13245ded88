from .loop import Original as Original
from .loop import pfitre_original as pfitre_original
