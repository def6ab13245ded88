"""Faces of a flat sample, perpendicular to the missing directions, by held-out views."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
from jaxtyping import Bool, Float

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.support import Faces, FieldOfView, SupportShape, along_missing
from pfitre_jax.estimation.support_trials import SupportTrials, TrialErrors
from pfitre_jax.geometry import Wedge

#: Largest number of detector bins of the trial reconstructions, their iterations of ADMM, and the number of
#: trials in a batch.
BINS, ITERATIONS, BATCH = 48, 15, 8
#: Number of rows of the trials that search the faces, and of those that confirm them.
SEARCH_ROWS, CONFIRMING_ROWS = 2, 8
#: Narrowest wedge, degrees. The shadows of a smaller one bound the sample closely.
MIN_WEDGE_DEG = 30.0
#: Number of parts of the coarse grid of limits.
PARTS = 8
#: The search ends after the coarse grid if its smallest error exceeds this fraction of the error of the whole
#: outline, as for round samples. This only saves time.
LARGEST_COARSE_ERROR = 0.98
#: The error between the faces is at most this fraction of the error of the whole outline. On simulated
#: samples with parallel faces it is 0.4 to 0.7; for most round and irregular samples 0.8 to 0.95.
LARGEST_ERROR = 0.8
#: Each fold's error rises by this factor when either face alone moves inwards by this number of bins. Lines
#: through parallel faces cut their whole length at once: 1.7 to 6 on simulated samples. Lines that touch a
#: round or an irregular sample, or cut it already, cut little more: 0.9 to 1.4.
STEEPNESS, STEEPNESS_BINS = 1.4, 3
#: Number of bins that are added on both sides: the best limits of flat samples are within a bin of the faces.
MARGIN_BINS = 2
#: A row agrees if its error between the faces exceeds that of the whole outline by at most this fraction.
ROW_TOLERANCE = 0.02
#: Moves (lower, upper) of the limits in units of the step.
MOVES = np.array([move for move in itertools.product((-1, 0, 1), repeat=2) if any(move)])


@dataclasses.dataclass(eq=False)
class PlateSearch:
    """Trials of the part of a shape between pairs of limits.

    Attributes:
        trials: The trial reconstructions.
        whole: (n, n), the pixels of the shape.
        along: (n, n), coordinate of the pixels along the missing directions, detector columns.
    """

    trials: SupportTrials
    whole: Bool[np.ndarray, "n n"]
    along: Float[np.ndarray, "n n"]

    @property
    def ends(self) -> Float[np.ndarray, 2]:
        """Limits that contain the whole outline."""
        inside, half = self.along[self.whole], self.trials.factor / 2
        return np.array([inside.min() - half, inside.max() + half])

    def errors(self, pairs: Float[np.ndarray, "pairs 2"], trials: SupportTrials | None = None) -> TrialErrors:
        """Errors of the held-out views, infinite between limits that contain no pixel."""
        trials = trials or self.trials
        images = np.array([self.whole & (self.along > low) & (self.along < high) for low, high in pairs])
        errors = trials.errors(images.astype(np.float32), ITERATIONS, reference=self.whole, batch=BATCH)
        empty = ~images.any(axis=(1, 2))

        def valid(values: np.ndarray) -> np.ndarray:
            return np.where(
                empty.reshape(-1, *[1] * (values.ndim - 1)) | ~np.isfinite(values), np.inf, values
            )

        return TrialErrors(valid(errors.total), valid(errors.by_fold), valid(errors.by_row))

    def best_limits(self) -> tuple[float, float] | None:
        """The limits with the smallest error, or None if no pair of a coarse grid improves on the outline.

        All pairs of limits on a coarse grid are tried, because the error has local minima. From the best pair
        the limits follow the error downwards by steps that are halved down to one bin.
        """
        first, last = self.ends
        edges = np.linspace(first, last, PARTS + 1)
        pairs = np.array(list(itertools.combinations(edges, 2)))
        tried = self.errors(pairs).total
        whole = tried[np.ptp(pairs, axis=1).argmax()]
        best, limits = tried.min(), pairs[tried.argmin()]
        if not best <= LARGEST_COARSE_ERROR * whole:
            return None
        step = edges[1] - edges[0]
        while step > self.trials.factor:
            step = max(step / 2, self.trials.factor)
            while True:
                pairs = limits + step * MOVES
                tried = self.errors(pairs).total
                if not tried.min() < best:
                    break
                best, limits = tried.min(), pairs[tried.argmin()]
        return float(limits[0]), float(limits[1])

    def are_faces(self, limits: tuple[float, float]) -> bool:
        """Whether the limits are parallel faces: the error is small, and rises steeply inside both."""
        inwards = STEEPNESS_BINS * self.trials.factor
        low, high = limits
        pairs = np.array([self.ends, limits, (low + inwards, high), (low, high - inwards)])
        errors = self.errors(pairs)
        small = errors.total[1] <= LARGEST_ERROR * errors.total[0]
        return bool(small and np.all(errors.by_fold[2:] >= STEEPNESS * errors.by_fold[1]))

    def rows_agree(self, limits: tuple[float, float], rows: SupportTrials) -> bool:
        """Whether no row has a larger error between the limits than with the whole outline."""
        pairs = np.array([self.ends, limits])
        for part in rows.blocks(len(self.trials.sinograms)):
            errors = self.errors(pairs, part).by_row
            self.trials.seconds_compile += part.seconds_compile
            if np.any(errors[1] > (1 + ROW_TOLERANCE) * errors[0]):
                return False
        return True


def select_plate(scan: Scan, field: FieldOfView) -> tuple[SupportShape | None, float]:
    """The outline's part between two lines perpendicular to the missing directions, for flat samples.

    If the steep views of a flat sample are missing, its shadows only bound it to a rhombus. Inside too large
    a support, the image spreads along the missing directions. Inside one that is too small, it cannot agree
    with the data. The error of the views at the ends of the angular range, see
    :func:`pfitre_jax.estimation.support_selection.select_support`, is smallest in between. For round or
    irregular samples, that minimum may cut the sample. The lines are therefore only used if

    - the error is much smaller than that of the whole outline,
    - for both folds, it rises steeply when either line alone moves inwards, as at parallel faces,
    - no row has a larger error than with the whole outline, and
    - the part casts the whole shadow that each view has of the sample.

    A margin is added to the lines. Samples that extend beyond the field of view are left as they are: the
    views of a uniform layer that is longer than the detector depend only on its thickness times its value.
    Such a layer on a structured one would be cut.

    Args:
        scan: The scan; its air must be at 0.
        field: What the detector sees of the sample.

    Returns:
        The shape between the faces, or None if there are none; and the wall time of compilation.
    """
    shape = SupportShape(outlined=True)
    if field.beyond_disc or Wedge.from_angles(scan.theta_rad).width_deg < MIN_WEDGE_DEG:
        return None, 0.0
    trials = SupportTrials.from_scan(scan, BINS, SEARCH_ROWS)
    x, y = trials.grid(field.diameter)
    search = PlateSearch(trials, field.contains(shape, x, y), along_missing(field.geometry, x, y))
    if not search.whole.any():
        return None, 0.0
    limits = search.best_limits()
    if limits is None or not search.are_faces(limits):
        return None, trials.seconds_compile
    margin = MARGIN_BINS * trials.factor
    plate = dataclasses.replace(
        shape, faces=Faces(math.floor(limits[0] - margin), math.ceil(limits[1] + margin))
    )
    if not field.casts_shadow(field.support(plate)):
        return None, trials.seconds_compile
    rows = SupportTrials.from_scan(scan, BINS, CONFIRMING_ROWS)
    agreed = search.rows_agree(limits, rows)
    return plate if agreed else None, trials.seconds_compile
