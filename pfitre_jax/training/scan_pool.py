"""Pool of simulated scans whose reconstruction loops advance with the training."""

from __future__ import annotations

import numpy as np

from pfitre_jax.training.config import Pool
from pfitre_jax.twin.pairs import Batch


class ScanPool:
    """Scans for each number of views; a step trains on one of them and advances its loop.

    At first every scan is fresh. Later the allowed number of loop iterations grows with training progress.

    Args:
        views: Numbers of views.
    """

    def __init__(self, views: tuple[int, ...]):
        self._scans: dict[int, list[Batch]] = {number: [] for number in views}

    def take(
        self, views: int, settings: Pool, progress: float, generator: np.random.Generator
    ) -> tuple[Batch | None, int]:
        """Chooses a scan.

        Args:
            views: Number of views of the scan.
            settings: Settings of the pool.
            progress: Number of steps done, relative to the steps of the first stage.
            generator: Random numbers.

        Returns:
            The scan, or None for a fresh one, and the slot of the pool to :meth:`put` it into.
        """
        scans = self._scans[views]
        growth = (progress - settings.alone_share) / max(2 * settings.alone_share, 1e-9)
        allowed = min(1 + int(growth * settings.iterations), settings.iterations)
        if progress < settings.alone_share:
            allowed = 0
        if len(scans) < settings.scans:
            return None, len(scans)
        slot = int(generator.integers(len(scans)))
        if int(scans[slot].k) > min(allowed, settings.iterations - 1):
            return None, slot
        return scans[slot], slot

    def put(self, views: int, slot: int, batch: Batch) -> None:
        """Puts a scan into a slot."""
        self._scans[views][slot : slot + 1] = [batch]
