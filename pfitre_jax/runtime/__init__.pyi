from .compilation import as_arrays as as_arrays
from .compilation import compiled as compiled
from .compilation import drop_programs_near_limit as drop_programs_near_limit
from .memory import DoesNotFit as DoesNotFit
from .processes import Team as Team
from .processes import join as join
