"""Validated settings of a reconstruction method."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Array

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import Parameter
from pfitre_jax.estimation.support import FACES, Faces, Support, SupportKind, SupportShape
from pfitre_jax.estimation.support_file import read_support
from pfitre_jax.estimation.support_selection import select_support
from pfitre_jax.interfaces import Prior
from pfitre_jax.models.engines import engine_versions
from pfitre_jax.priors.network import network_engine
from pfitre_jax.reconstruction.adapted_prior import check_adaptable
from pfitre_jax.reconstruction.data_model import LEAST_SQUARES, DataModel
from pfitre_jax.reconstruction.methods import METHODS, Method, find_method
from pfitre_jax.runtime.versions import package_versions
from pfitre_jax.solvers.admm import tv_rho
from pfitre_jax.solvers.solve import check_number
from pfitre_jax.training.adaptation_settings import AdaptationSettings

#: Value of ``prior`` with which the scan chooses it, and the name of the choice of no prior.
AUTOMATIC_PRIOR, NO_PRIOR = "auto", "total variation"


@dataclasses.dataclass(frozen=True, eq=False)
class Settings:
    """Validated settings of a method; use :meth:`create`.

    Attributes:
        method: Name in :data:`METHODS`.
        joint: Whether all rows are one volume.
        iterations: Number of iterations; 1 for a method without any.
        weight: TV weight, "auto" from the calibration of the scan, None for a method without it.
        rho: Prior strength, "auto" from the noise of the scan, None for a method without it.
        prior: The learned prior, None for a method without it.
        data_model: Weights and corrections of the data.
        support: Sample support, see :func:`pfitre_jax.estimation.select_support`.
        automatic_iterations: Whether held-out views choose the number of iterations.
        iterations_by_default: Whether the number of iterations is that of the method or of the prior.
        adaptation: Settings with which the prior is adapted to the scan first; None to use it as it is.
        prior_candidates: The priors, by name, between which and total variation the scan chooses, see
            :func:`pfitre_jax.reconstruction.prior_selection.select_prior`; ``prior`` is then the first of
            them. Empty if the prior is known.
    """

    method: str
    joint: bool = False
    iterations: int = 1
    weight: float | Literal["auto"] | None = None
    rho: float | Literal["auto"] | None = None
    prior: Any = None
    data_model: DataModel = LEAST_SQUARES
    support: SupportKind | Faces | SupportShape | Support = "auto"
    automatic_iterations: bool = False
    iterations_by_default: bool = False
    adaptation: AdaptationSettings | None = None
    prior_candidates: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def create(
        cls,
        method: str,
        *,
        joint: bool = False,
        prior: Any = None,
        iterations: int | None = None,
        rho: float | str | None = None,
        weight: float | str | None = None,
        robust: str | None = None,
        photons: float | None = None,
        stripes: bool = False,
        gains: bool = False,
        support: str | os.PathLike | np.ndarray | Faces | SupportShape | Support = "auto",
        adaptation: AdaptationSettings | None = None,
    ) -> Settings:
        """Settings of ``method``: its defaults, replaced by the arguments that are not None.

        A prior that was trained through the loop brings its own rho and number of iterations.

        Args:
            method: Name in :data:`METHODS`.
            joint: Whether all rows are solved together.
            prior: A prior; or the name or path of one, which is loaded (``.pth``: the published network's);
                or "auto", with which the scan chooses a shipped prior or total variation.
            iterations: Number of iterations.
            rho: Prior strength, or "auto" where that is the default.
            weight: TV weight, or "auto" where that is the default.
            robust: See :class:`DataModel`.
            photons: See :class:`DataModel`.
            stripes: See :class:`DataModel`.
            gains: See :class:`DataModel`.
            support: "auto", "disc", "extended"; faces of a flat sample, also as "faces:LOW,HIGH"; a shape; or
                an image (n, n), or the path of one, that is not 0 where the sample may be.
            adaptation: See :class:`Settings`; only for "pfitre".

        Raises:
            ValueError: The method is unknown, does not take a setting, cannot be joint or cannot use the
                prior; or a value is invalid.
            FileNotFoundError: There is no such prior.
        """
        entry = find_method(method)
        if joint and not entry.joint:
            supported = ", ".join(name for name, other in METHODS.items() if other.joint)
            raise ValueError(
                f"{method} solves every row separately; expected one of {supported} for a joint "
                "reconstruction"
            )
        data_model = DataModel(robust, photons, stripes, gains)
        _check_data_model(method, entry, data_model)
        arguments = {"prior": prior, "iterations": iterations, "rho": rho, "weight": weight}
        overrides = {name: value for name, value in arguments.items() if value is not None}
        _check_values(method, entry, overrides)
        values = {**entry.defaults, **(entry.joint_defaults if joint else {}), **overrides}
        if isinstance(values.get("prior"), str) and values["prior"] == AUTOMATIC_PRIOR:
            _check_automatic_prior(method, joint, adaptation)
            values["prior_candidates"] = shipped_priors(entry.defaults["prior"])
            values["prior"] = next(iter(values["prior_candidates"].values()))
        if isinstance(values.get("prior"), (str, os.PathLike)):
            values["prior"] = _load(values["prior"])
        if "prior" in values:
            values |= _trained_values(method, values["prior"], overrides)
            if values["prior"].info.reach and not joint:
                raise ValueError(
                    "the prior uses the neighbouring rows of every row; expected another prior, or a joint "
                    "reconstruction (joint=True)"
                )
        if adaptation is not None:
            _check_adaptation(method, values["prior"] if "prior" in values else None)
        automatic = entry.automatic_iterations and not joint and "iterations" not in overrides
        if "prior" in values:
            automatic &= values["prior"].info.iterations is None
        return cls(
            method,
            joint,
            data_model=data_model,
            support=_support(support),
            automatic_iterations=automatic,
            iterations_by_default="iterations" not in overrides,
            adaptation=adaptation,
            **values,
        )

    def check_support(self, columns: int) -> None:
        """Checks that a support image fits a detector of ``columns`` columns.

        Raises:
            ValueError: See :meth:`pfitre_jax.estimation.support.Support.check`.
        """
        if isinstance(self.support, Support):
            self.support.check(columns)

    def check_faces(self, scan: Scan) -> None:
        """Checks that known faces contain a part of the sample of a scan whose centre is known.

        Raises:
            ValueError: See :func:`pfitre_jax.estimation.support_selection.select_support`.
        """
        if isinstance(self.support, Faces):
            select_support(scan, self.support)

    @property
    def needed_parameter(self) -> Parameter:
        """The last parameter of the scan's calibration that "auto" values need."""
        if self.weight == "auto":
            return "tv_weight"
        # With a TV weight set, the "auto" rho is derived from it.
        return "rho" if self.rho == "auto" and self.weight is None else "noise"

    def resolve(self, tv_weight: float | Array | None = None, rho: float | Array | None = None) -> Settings:
        """The settings with numbers instead of "auto".

        Args:
            tv_weight: TV weight of the scan's calibration.
            rho: Strength of a learned prior of the scan's calibration.

        Raises:
            ValueError: A number is needed and is None.
        """
        weight_value, rho_value = self.weight, self.rho
        if weight_value == "auto":
            weight_value = _required("weight", tv_weight)
        if rho_value == "auto":
            # The rho of ADMM with total variation sets the speed and depends on the weight.
            automatic_rho = rho if weight_value is None else tv_rho(weight_value)
            rho_value = _required("rho", automatic_rho)
        return dataclasses.replace(self, weight=weight_value, rho=rho_value)

    def with_candidate(self, name: str) -> Settings:
        """The settings with one of :attr:`prior_candidates`, or with FISTA-TV for :data:`NO_PRIOR`.

        Support and data model remain; FISTA-TV has its own number of iterations and weight.
        """
        if name != NO_PRIOR:
            return dataclasses.replace(self, prior=self.prior_candidates[name], prior_candidates={})
        settings = Settings.create("fista-tv")
        return dataclasses.replace(settings, support=self.support, data_model=self.data_model)

    def require_known_prior(self, purpose: str) -> None:
        """Checks that the prior is known.

        Args:
            purpose: What needs it, in words.

        Raises:
            ValueError: The scan would have to choose it.
        """
        if self.prior_candidates:
            raise ValueError(
                f"prior='auto' for {purpose}; expected the name or the file of a prior, because only the "
                "reconstruction of a complete scan chooses one"
            )

    def as_selected(self, selection: Mapping[str, Any]) -> Settings:
        """The settings with the prior that a scan chose.

        Args:
            selection: How settings were chosen, see :class:`pfitre_jax.reconstruction.plan.Plan`.
        """
        if not self.prior_candidates:
            return self
        return self.with_candidate(selection["prior"]["chosen"])

    def versions(self) -> dict[str, str]:
        """Versions of what the result depends on: packages, and the engine that computes the network."""
        engine = network_engine(self.prior)
        return package_versions() | ({} if engine is None else engine_versions(engine))

    def record(self) -> dict[str, Any]:
        """The settings by name, as JSON values; a prior by its name and the hash of its weights."""
        values = {name: getattr(self, name) for name in METHODS[self.method].defaults}
        if "prior" in values:
            names = [prior_name(prior) for prior in self.prior_candidates.values()]
            values["prior"] = f"auto of {', '.join(names)}" if names else prior_name(values["prior"])
        if self.automatic_iterations:
            values["iterations"] = "auto"
        if isinstance(self.support, Support):
            values["support"] = f"{self.support.text} {self.support.sha256[:12]}"
        elif isinstance(self.support, (Faces, SupportShape)):
            values["support"] = self.support.text
        elif self.support != "auto":
            values["support"] = self.support
        if self.adaptation is not None:
            values["adapt"] = dataclasses.asdict(self.adaptation)
        return values | self.data_model.record()


def prior_name(prior: Prior) -> str:
    """Name of a prior and the first digits of the hash of its weights; its class where it has no card."""
    card = prior.info.card
    name = " ".join(str(card[key])[:most] for key, most in (("name", 40), ("sha256", 12)) if key in card)
    return name or type(prior).__name__


def _check_data_model(method: str, entry: Method, data_model: DataModel) -> None:
    if not entry.data_model and data_model != LEAST_SQUARES:
        supported = ", ".join(name for name, other in METHODS.items() if other.data_model)
        first = next(iter(data_model.record()))
        raise ValueError(f"{method} has no data model; expected one of {supported} with {first}")


def _check_adaptation(method: str, prior: Prior | None) -> None:
    if method != "pfitre":
        raise ValueError(
            f"an adaptation of the prior for method {method!r}; expected method 'pfitre': leave the "
            "adaptation out, or choose this method"
        )
    check_adaptable(prior)


def shipped_priors(first: str) -> dict[str, Any]:
    """The shipped priors of single rows by name, beginning with ``first``."""
    from pfitre_jax.priors import files

    loaded = {name: files.pretrained(name) for name in dict.fromkeys([first, *files.available()])}
    return {name: prior for name, prior in loaded.items() if not prior.info.reach}


def _check_automatic_prior(method: str, joint: bool, adaptation: AdaptationSettings | None) -> None:
    if method != "pfitre":
        raise ValueError(f"prior='auto' for method {method!r}; expected method 'pfitre', or another prior")
    if joint:
        raise ValueError(
            "prior='auto' for a joint reconstruction, for which one prior is shipped; leave the prior out"
        )
    if adaptation is not None:
        raise ValueError(
            "prior='auto' with an adaptation, which starts from one prior; name the prior, or leave the "
            "adaptation out"
        )


def _check_values(method: str, entry: Method, overrides: dict[str, Any]) -> None:
    unknown = [name for name in overrides if name not in entry.defaults]
    if unknown:
        takes = f"it takes {', '.join(entry.defaults)}" if entry.defaults else "it takes none"
        raise ValueError(f"method {method!r} takes no {', '.join(unknown)}; {takes}: leave the others out")
    if "iterations" in overrides:
        iterations = overrides["iterations"]
        if isinstance(iterations, bool) or int(iterations) != iterations or iterations < 1:
            raise ValueError(f"iterations is {iterations!r}; expected a whole number of at least 1")
    for name in ("rho", "weight"):
        if name in overrides and not overrides[name] == entry.defaults[name] == "auto":
            check_number(name, overrides[name], or_zero=name == "weight")


def _trained_values(method: str, prior: Prior, overrides: dict[str, Any]) -> dict[str, Any]:
    """The rho (the last one, if there are several) and the iterations that a prior was trained with."""
    info = prior.info
    if info.rho is None:
        return {}
    if method != "pfitre":
        raise ValueError(f"the prior was trained through the loop of pfitre; {method} cannot use it")
    trained: dict[str, Any] = {"rho": float(info.rho[-1])}
    if info.iterations is not None:
        trained["iterations"] = info.iterations
    for name, value in trained.items():
        if overrides.get(name, value) not in (value, "auto"):
            raise ValueError(
                f"{name} is {overrides[name]:g}; the prior was trained with {value:.4g}: leave {name} out"
            )
    return trained


def _support(
    support: str | os.PathLike | np.ndarray | Faces | SupportShape | Support,
) -> SupportKind | Faces | SupportShape | Support:
    """The kind, faces or shape of support, or the stated support, which is read from its file."""
    if isinstance(support, (Faces, SupportShape, Support)):
        return support
    if isinstance(support, np.ndarray):
        return Support.from_image(support)
    # A file with the name of a kind needs a path such as ./auto.
    for kind in get_args(SupportKind):
        if support == kind:
            return kind
    if isinstance(support, str) and support.startswith(FACES):
        return Faces.from_text(support)
    return read_support(support)


def _load(prior: str | os.PathLike):
    # Flax is slow to import and only this needs it.
    from pfitre_jax.baselines.published import checkpoint as published
    from pfitre_jax.priors import files

    load = published.load if str(prior).lower().endswith(published.SUFFIXES) else files.pretrained
    return load(prior)


def _required(name: str, value: float | Array | None) -> float:
    if value is None:
        raise ValueError(f"{name} is 'auto' and the scan was not calibrated for it; expected a number")
    return float(value)
