"""Self-absorption: fluorescence that the sample absorbs on its way to the detector."""

from __future__ import annotations

from jaxtyping import Array

from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Stage


def _absorption(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.replace(absorption=strength)


ABSORPTION = Artifact(
    name="absorption",
    number=10,
    stage=Stage.GEOMETRY,
    apply=_absorption,
    help="self-absorption of fluorescence",
    unit="optical depth of the field",
    gallery=2.0,
    evaluation=0.25,
)
