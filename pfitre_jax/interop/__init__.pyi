from . import astra as astra
from . import deepinv as deepinv
from . import scico as scico
from . import tomopy as tomopy
from . import tomviz as tomviz
