"""Images of the viewer of a page: stacks of slices and shades that one slider moves through."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from pfitre_jax.plotting.panels import FULL_SHADE
from pfitre_jax.plotting.style import MISSING, gray_limits
from pfitre_jax.reconstruction.row_block import LazyVolume
from pfitre_jax.reporting.finished_run import FinishedRun
from pfitre_jax.reporting.slice_images import Sampling, bin_image, choose_sampling, gray_png, shade_png

#: Colour of the shade of wide intervals.
INTERVAL = "#7b3fb5"
#: Rows of the overview below the viewer.
OVERVIEW_ROWS = 8
#: Share of a layer of shades, which compress well, in the number of layers of a page.
SHADE_SHARE = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Viewer:
    """Images of the rows that a page shows.

    Attributes:
        rows: (shown,), row numbers in the raw stack.
        captions: Text for each row.
        layers: Name of a layer -> data URI of its image of each row.
        start: Index of the row that is shown first.
        limits: Values that are black and white.
        overview: Indices of the rows of the overview.
        sampling: Text that says which rows are left out and how the images were reduced; empty if neither.
    """

    rows: Sequence[int]
    captions: Sequence[str]
    layers: dict[str, Sequence[str]]
    start: int
    limits: tuple[float, float]
    overview: Sequence[int]
    sampling: str


def run_viewer(run: FinishedRun) -> Viewer:
    """The result, its measured component, and the shades of the supplied component and of the interval.

    The layers ``measured``, ``supplied`` and ``interval`` exist where the run has them.
    """
    result = run.result
    shape = (int(result.volume.shape[1]), int(result.volume.shape[2]))
    layers = 1 + (1 + SHADE_SHARE) * (result.measured is not None) + SHADE_SHARE * (result.upper is not None)
    sampling = choose_sampling(len(result.rows), shape, layers, result.middle)
    slices = read_binned(result.volume, sampling)
    low, high = gray_limits(slices)
    content: dict[str, Sequence[str]] = {"result": [gray_png(image, low, high) for image in slices]}
    if result.measured is not None:
        measured = read_binned(result.measured, sampling)
        content["measured"] = [gray_png(image, low, high) for image in measured]
        supplied = np.abs(slices - measured) / (FULL_SHADE * (high - low))
        content["supplied"] = [shade_png(image, MISSING) for image in supplied]
    if result.lower is not None and result.upper is not None:
        lower, upper = (read_binned(limit, sampling) for limit in (result.lower, result.upper))
        content["interval"] = [shade_png(width, INTERVAL) for width in (upper - lower) / (high - low)]
    start = int(np.flatnonzero(sampling.indices == result.middle)[0])
    return Viewer(
        [int(row) for row in result.rows[sampling.indices]],
        [_caption(run, int(k)) for k in sampling.indices],
        content,
        start,
        (low, high),
        overview_rows(len(sampling.indices)),
        describe_sampling(sampling, len(result.rows)),
    )


def read_binned(volume: np.ndarray | LazyVolume, sampling: Sampling) -> np.ndarray:
    """The sampled slices (shown, ny, nx), reduced to the size of their images."""
    return np.stack([bin_image(np.asarray(volume[int(k)]), sampling.factor) for k in sampling.indices])


def overview_rows(shown: int) -> list[int]:
    """Indices of at most :data:`OVERVIEW_ROWS` evenly spaced rows of those that are shown."""
    count = min(shown, OVERVIEW_ROWS)
    return sorted({round(k) for k in np.linspace(0, shown - 1, count).tolist()})


def describe_sampling(sampling: Sampling, rows: int) -> str:
    """Says which rows are left out and how the images were reduced; empty if neither."""
    parts = []
    if len(sampling.indices) < rows:
        parts.append(f"{len(sampling.indices)} of {rows} rows are shown, evenly spaced")
    if sampling.factor > 1:
        parts.append(
            f"each pixel of an image is the mean of {sampling.factor} x {sampling.factor} pixels of the slice"
        )
    return "; ".join(parts)


def _caption(run: FinishedRun, k: int) -> str:
    result = run.result
    values: Iterable[tuple[str, float, Callable[[float], str]]] = (
        ("residual", result.residual[k], lambda value: f"{value:.3g}"),
        ("supplied", result.supplied[k], lambda value: f"{value:.0%}"),
    )
    known = [f"{name} {write(float(value))}" for name, value, write in values if np.isfinite(value)]
    return ", ".join([f"row {result.rows[k]}", *known])
