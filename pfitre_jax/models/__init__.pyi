from . import engines as engines
from .networks import NETWORKS as NETWORKS
from .networks import Network as Network
from .networks import find_network as find_network
from .unet import UNetConfig as UNetConfig
from .unet import count as count
from .unet import predict_update as predict_update
from .unet import predict_updates as predict_updates
