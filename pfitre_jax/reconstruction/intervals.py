"""What the intervals of a method are made of: kind of scale, draws and calibrated table."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Literal, get_args

from pfitre_jax.priors.interval_table import IntervalTable, Kind, tables_from_record
from pfitre_jax.reconstruction.classical_intervals import classical_tables
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.trust.intervals import GRADIENT_WEIGHT

#: "quick": from the error that the prior expects, at the cost of one pass of its network. "full": with a
#: bootstrap, too. "off": no intervals.
Mode = Literal["quick", "full", "off"]


@dataclasses.dataclass(frozen=True)
class Intervals:
    """What the intervals of a method are made of.

    Attributes:
        kind: What the scale is made of.
        draws: Number of bootstrap draws; 0 for the kind "expected-error".
        table: Calibrated factors of the scale; None for the factor 1, to calibrate the scale.
    """

    kind: Kind
    draws: int = 0
    table: IntervalTable | None = None

    @classmethod
    def choose(cls, settings: Settings, mode: str) -> tuple[Intervals | None, str]:
        """The intervals of a method, and why there are none, in words.

        Without a learned prior there are none but in the mode "full", and no reason is given.

        Args:
            settings: Settings of the method.
            mode: "quick", "full" or "off".

        Raises:
            ValueError: For another mode, or a malformed table.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"intervals is {mode!r}; expected {', '.join(map(repr, get_args(Mode)))}")
        prior = settings.prior
        if mode == "off" or (mode == "quick" and prior is None):
            return None, ""
        learned = prior is not None and settings.method == "pfitre"
        expected = learned and prior.has_expected_error and not prior.info.reach
        of = (
            f"the prior {prior.info.card.get('name', '')!r}" if learned else f"the method {settings.method!r}"
        )
        if mode == "quick" and not expected:
            return None, f"{of} does not predict its error"
        kind: Kind = "expected-error" if mode == "quick" else "combined" if expected else "bootstrap"
        if learned:
            tables = tables_from_record(prior.info.card.get("intervals") or {})
        else:
            tables = classical_tables().get(settings.method, {}) if prior is None else {}
        if kind not in tables:
            return None, f"{of} has no calibrated table of the kind {kind!r}"
        table = tables[kind]
        return cls(kind, table.draws, table), ""

    def of_settings(self, settings: Settings) -> Intervals | None:
        """The intervals of the same mode of other settings; None if they have none."""
        return Intervals.choose(settings, "full" if self.draws else "quick")[0]

    @property
    def gradient_weight(self) -> float:
        """Weight of the gradient beside the expected error: that of the table, or of one to be calibrated."""
        if self.table is not None:
            return self.table.gradient_weight
        return 0.0 if self.kind == "bootstrap" else GRADIENT_WEIGHT

    @property
    def digest(self) -> str:
        """A short hash of kind, draws and table."""
        table = None if self.table is None else self.table.record()
        text = json.dumps([self.kind, self.draws, self.gradient_weight, table], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
