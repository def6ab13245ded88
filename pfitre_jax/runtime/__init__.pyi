from .compilation import as_arrays as as_arrays
from .compilation import compiled as compiled
from .devices import Team as Team
from .devices import join as join
from .memory import DoesNotFit as DoesNotFit
