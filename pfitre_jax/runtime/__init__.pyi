from .compilation import as_arrays as as_arrays
from .compilation import compiled as compiled
from .memory import DoesNotFit as DoesNotFit
from .processes import Team as Team
from .processes import join as join
