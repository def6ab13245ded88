from .loop import Original as Original
from .loop import pfitre_original as pfitre_original
from .network import PublishedConfig as PublishedConfig
from .network import apply as apply
from .network import init as init
