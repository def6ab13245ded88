"""Names of the methods that an evaluation compares."""

from __future__ import annotations

#: Names in tables; ``first`` is the initial estimate (TV warm start) of ``pfitre``.
LABELS = {
    "fbp": "FBP",
    "fista_tv": "FISTA-TV",
    "fista_dtv": "directional TV",
    "first": "initial estimate",
    "network_once": "network, once",
    "pfitre_original": "the published loop with this prior",
    "rows": "row by row",
    "pfitre": "pfitre",
}
#: Methods on slices.
ALL = tuple(name for name in LABELS if name != "rows")
#: Methods on volumes; ``rows`` is ``pfitre`` on each row, without ``--joint``.
OF_VOLUMES = ("fbp", "fista_tv", "first", "network_once", "rows", "pfitre")
#: Methods on slices in cells where a factor is varied.
WITH_FACTORS = tuple(name for name in ALL if name != "pfitre_original")
#: Methods on slices with an artifact.
WITH_ARTIFACTS = tuple(name for name in WITH_FACTORS if name != "fista_dtv")
#: Total-variation methods, which use no learned prior.
TV_METHODS = ("fista_tv", "fista_dtv")


def weight_key(method: str) -> str:
    """The key, in a record, of the best weight of one of :data:`TV_METHODS`."""
    return f"{method}_weight"
