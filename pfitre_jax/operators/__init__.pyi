from .dot_test import dot_test as dot_test
from .fbp import fbp as fbp
from .finite_differences import gradient as gradient
from .finite_differences import gradient_adjoint as gradient_adjoint
from .finite_differences import total_variation as total_variation
from .normal import NormalKernel as NormalKernel
from .projector import Projector as Projector
