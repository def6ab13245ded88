"""The prior of a reconstruction, adapted to its scan, and its files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import Calibration
from pfitre_jax.interfaces import Card, Solver
from pfitre_jax.priors import files
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.reconstruction.file_names import ADAPTATION, ADAPTED_PRIOR
from pfitre_jax.reconstruction.prior_check import select_rows_with_signal
from pfitre_jax.training.adaptation import adapt_prior
from pfitre_jax.training.adaptation_rows import AdaptationRows, Stopwatch
from pfitre_jax.training.adaptation_settings import AdaptationSettings, HeldOutViews

#: Number of rows, evenly spread over those with signal, that a prior is adapted to.
ROWS = 12
#: Number of slabs, and of rows in each, that a prior of neighbouring rows is adapted to.
SLABS, SLAB_ROWS = 4, 5
# Entries of a card that are valid only for the weights of the parent.
_WEIGHT_ENTRIES = ("sha256", "scores", "training_scores", "disagreement")


@dataclasses.dataclass(frozen=True, eq=False)
class AdaptedPrior:
    """A prior after its adaptation to a scan.

    Attributes:
        prior: The prior that is kept; the one before the adaptation where no round was better.
        record: The decision and all errors, see :meth:`pfitre_jax.training.Adaptation.record`.
        before: (n, n), a row reconstructed with the prior before the adaptation, in units of the scale.
        after: (n, n), the same row with the prior that is kept.
    """

    prior: NetworkPrior
    record: dict[str, Any]
    before: Float[np.ndarray, "n n"]
    after: Float[np.ndarray, "n n"]

    @property
    def changed(self) -> bool:
        """Whether the prior differs from the one before."""
        return self.record["chosen"] > 0

    def save(self, folder: Path) -> AdaptedPrior:
        """Writes prior and images to a folder; returns what :meth:`load` reads."""
        arrays: dict[str, Any] = {
            "record": np.array(json.dumps(self.record)),
            "before": self.before,
            "after": self.after,
        }

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, **arrays)

        write_files(folder, {ADAPTATION: write})
        return dataclasses.replace(self, prior=files.save(folder / ADAPTED_PRIOR, self.prior).network)

    @classmethod
    def load(cls, folder: Path) -> AdaptedPrior:
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: A file is missing.
            ValueError: A file is damaged.
        """
        with np.load(folder / ADAPTATION, allow_pickle=False) as content:
            record, images = json.loads(content["record"].item()), (content["before"], content["after"])
        return cls(files.load(folder / ADAPTED_PRIOR).network, record, *images)


def check_adaptable(prior: Any) -> NetworkPrior:
    """Returns a prior that can be adapted to a scan.

    Raises:
        ValueError: If it is not a :class:`NetworkPrior`.
    """
    if not isinstance(prior, NetworkPrior):
        raise ValueError(
            f"the prior is {type(prior).__name__}; expected a NetworkPrior, which has one network and no "
            "trained rho, for an adaptation"
        )
    return prior


def adapt_to_scan(
    scan: Scan,
    solver: Solver,
    prior: NetworkPrior,
    calibration: Calibration,
    settings: AdaptationSettings,
    *,
    rows: np.ndarray | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    observe: Callable[[np.ndarray], None] = lambda images: None,
) -> AdaptedPrior:
    """Adapts the prior of a loop to some rows of a scan.

    Args:
        scan: The scan.
        solver: The loop, which contains the prior.
        prior: The prior.
        calibration: Calibration of the scan, with the noise.
        settings: Settings of the adaptation.
        rows: Rows of the scan to use; by default :data:`ROWS` rows, evenly spread over those with signal. A
            prior of neighbouring rows uses slabs between the first and the last of them, see
            :func:`select_slabs`.
        progress: Called with the number of steps done and of all steps.
        observe: Called in each round with the reconstructions (rows, n, n), per pixel.

    Raises:
        ValueError: The scan has too few views.
    """
    if rows is None:
        sample = scan.sample()
        picked = select_rows_with_signal(np.linalg.norm(sample.projections, axis=(0, 2)), ROWS)
        rows = scan.source.rows_in_memory[picked]
    if prior.info.reach:
        rows = select_slabs(int(rows[0]), int(rows[-1]) + 1)
    used = scan.take_rows(rows.ravel())
    masks = np.moveaxis(used.mask, 1, 0).astype(np.float32)
    values = np.moveaxis(used.projections, 1, 0) / np.float32(calibration.scale)
    sinograms = np.where(masks > 0, values, 0).astype(np.float32)
    sinograms, masks = (a.reshape(*rows.shape, *a.shape[1:]) for a in (sinograms, masks))
    assert calibration.noise is not None
    adapted = adapt_prior(
        solver,
        prior,
        calibration.problem,
        sinograms,
        masks,
        calibration.noise,
        settings,
        progress,
        lambda images: observe(images * calibration.scale),
    )
    record = adapted.record()
    card = dict(prior.card)
    if adapted.adapted:
        card = {name: value for name, value in card.items() if name not in _WEIGHT_ENTRIES}
        card["name"] = f"{prior.card.get('name', 'prior')}, adapted"
    card["adapted"] = {
        "from": {name: prior.card.get(name) for name in ("name", "sha256")},
        "scan": {name: str(value) for name, value in scan.provenance.items()},
        "settings": dataclasses.asdict(settings),
    } | record
    result = dataclasses.replace(adapted.prior, card=Card(json.loads(json.dumps(card))))
    return AdaptedPrior(result, record, adapted.before, adapted.after)


def select_slabs(first: int, stop: int) -> np.ndarray:
    """Rows (slabs, rows) of at most :data:`SLABS` slabs, evenly spread over a range; they do not overlap.

    Args:
        first: First row of the range.
        stop: Row after its last.
    """
    size = min(SLAB_ROWS, stop - first)
    starts = np.linspace(first, stop - size, min(SLABS, (stop - first) // size)).round().astype(int)
    return starts[:, None] + np.arange(size)


def training_memory(
    scan: Scan, solver: Solver, prior: NetworkPrior, calibration: Calibration, settings: AdaptationSettings
) -> int:
    """Bytes that a training step of the adaptation needs on the device; nothing is computed.

    Args:
        scan: The scan.
        solver: The loop, which contains the prior.
        prior: The prior.
        calibration: Calibration of the scan.
        settings: Settings of the adaptation.
    """
    rows = select_slabs(0, scan.rows).shape[1:] if prior.info.reach else ()
    blank = np.zeros((1, *rows, *calibration.problem.A.sinogram_shape), np.float32)
    held_out = HeldOutViews.select(scan.theta_rad)
    adaptation = AdaptationRows(
        solver, prior, calibration.problem, blank, blank, np.float32(0), held_out, settings, Stopwatch()
    )
    return adaptation.training_memory()
