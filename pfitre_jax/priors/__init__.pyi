from .directional_tv import DirectionalTV as DirectionalTV
from .files import available as available
from .files import pretrained as pretrained
from .network import NetworkPrior as NetworkPrior
from .nonnegative import Nonnegative as Nonnegative
from .tv import TV as TV
from .unrolled import UnrolledPrior as UnrolledPrior
