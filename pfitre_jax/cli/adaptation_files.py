"""Files of a prior that was adapted to a scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pfitre_jax.reconstruction.file_names import ADAPTATION_FILES

if TYPE_CHECKING:
    from pfitre_jax.reconstruction.adapted_prior import AdaptedPrior


def adaptation_writers(
    adapted: AdaptedPrior, names: tuple[str, str] = ADAPTATION_FILES
) -> dict[str, Callable[[Path], None]]:
    """Functions that write the weights file and the picture of an adaptation, by file name."""
    from pfitre_jax.plotting import draw_adaptation
    from pfitre_jax.plotting.style import save_png
    from pfitre_jax.priors import files

    figure = draw_adaptation(adapted.record, adapted.before, adapted.after)

    def write_prior(path: Path) -> None:
        files.save(path, adapted.prior)

    weights, picture = names
    return {weights: write_prior, picture: lambda path: save_png(figure, path)}
