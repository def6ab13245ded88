from .checkpoint import PublishedPrior as PublishedPrior
from .checkpoint import load as load
from .loop import TV_STRENGTH as TV_STRENGTH
from .loop import PublishedADMM as PublishedADMM
from .loop import pfitre_original as pfitre_original
from .network import PublishedConfig as PublishedConfig
from .network import apply as apply
from .network import init as init
