"""Configuration of a training: scenes, instrument, stages, losses and optimiser."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.training.losses import LossWeights
from pfitre_jax.twin.instrument import Instrument
from pfitre_jax.twin.pairs import PairSettings
from pfitre_jax.twin.scenes.bank import SIDE
from pfitre_jax.twin.scenes.data_files import find_files, refuse_held_out
from pfitre_jax.twin.scenes.layouts import require_gdstk
from pfitre_jax.twin.scenes.mixture import BANKED, SceneMixture

#: Names of priors: they become names of files in the folder of the run, where some are taken.
_FILE_NAME = re.compile(r"\w[\w .-]{0,99}")
_RESERVED_NAMES = ("config", "bad_batch", "start")
#: Quantities that a stage can train, see :class:`Stage`.
LEARNED = ("network", "rho", "iterations")
#: Tables that a stage inherits from the previous stage if it does not contain them.
INHERITED = ("instrument", "scenes", "losses")


def _require_positive(settings: Any, *names: str) -> None:
    """Checks that numbers of a table of the configuration are at least 1."""
    for name in names:
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} is {getattr(settings, name)}; expected at least 1")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the training, with its own warm-up and cosine decay of the learning rate.

    Attributes:
        steps: Gradient steps.
        rate: Learning rate at its peak.
        final_rate: Learning rate at the end.
        warm_up: Steps of the warm-up.
        initial_iterations: Iterations of the initial estimate (TV warm start) that the loops start from, 0
            for none. The exported prior uses the value of its last stage.
        coarse_share: Share of the scans whose loop starts from its own result at half the resolution, as
            that of ``pfitre`` does for many detector columns.
        rho: Range of the prior strength, or None for that of the pairs.
        rho_jitter: Factor between prior strength and noise law, or None for that of the pairs.
        views: Numbers of views, or None for those of the pool.
        instrument: Instrument of this stage, or None for that of the configuration.
        scenes: Scenes of this stage, or None for those of the configuration.
        losses: Losses of this stage, or None for those of the configuration.
        unrolled: Iterations of the loop that a step differentiates through; 1 trains the network alone, on
            the iterates of the loop.
        learned: ``"network"``: one network for every rho of the pairs. ``"rho"``: the network and one rho,
            for any number of iterations. ``"iterations"``: a network and a rho for each of the ``unrolled``
            iterations, which then are the whole loop. A stage starts from the averaged weights, and rho from
            the middle of its range.
        start_share: Share of the weights that this stage starts from in the prior that the run exports, 0
            for none, see :mod:`pfitre_jax.training.start_weights`. It holds for all stages that follow, until
            one has a share of its own.
        name: Name for training this stage alone, see :meth:`TrainingConfig.span`.
    """

    steps: int = 6000
    rate: float = 1e-3
    final_rate: float = 1e-5
    warm_up: int = 200
    initial_iterations: int = 0
    coarse_share: float = 0.0
    rho: tuple[float, float] | None = None
    rho_jitter: float | None = None
    views: tuple[int, ...] | None = None
    instrument: Instrument | None = None
    scenes: SceneMixture | None = None
    losses: LossWeights | None = None
    unrolled: int = 1
    learned: str = "network"
    start_share: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        _require_positive(self, "steps", "unrolled")
        if not 0 <= self.coarse_share <= 1:
            raise ValueError(f"coarse_share is {self.coarse_share:g}; expected 0 to 1")
        if not 0 <= self.start_share < 1:
            raise ValueError(f"start_share is {self.start_share:g}; expected at least 0 and less than 1")
        if self.learned not in LEARNED:
            raise ValueError(f"learned is {self.learned!r}; expected one of {', '.join(LEARNED)}")
        if self.learned != "network" and self.unrolled == 1:
            raise ValueError(
                f'learned is "{self.learned}" and unrolled is 1; expected unrolled to be at least 2'
            )
        if self.learned != "network" and self.coarse_share:
            raise ValueError(
                f'learned is "{self.learned}" and coarse_share {self.coarse_share:g}; expected 0: a loop '
                "whose rho is trained does not start from a coarse result"
            )

    @property
    def iterations(self) -> int | None:
        """Number of networks and rhos that are learned: 1 is shared by all iterations, None has no rho."""
        return {"network": None, "rho": 1, "iterations": self.unrolled}[self.learned]


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """Optimiser of all stages.

    Attributes:
        method: ``"adamw"`` (Loshchilov & Hutter, ICLR 2019), or ``"muon"``, with orthogonal
            updates of the kernels (Jordan et al., 2024), and Adam with Nesterov momentum for the others.
        weight_decay: Weight decay; with ``"muon"`` of the kernels only.
        clip: Global norm that gradients are clipped to.
        ema: Decay of the exponential moving average of the weights, which is exported.
    """

    method: str = "adamw"
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999

    def __post_init__(self) -> None:
        if self.method not in ("adamw", "muon"):
            raise ValueError(f"method is {self.method!r}; expected adamw or muon")


@dataclasses.dataclass(frozen=True)
class Pool:
    """Pool of simulated scans whose reconstruction loops advance with the training.

    Attributes:
        views: Numbers of views; each scan has one of them, and each needs a compilation.
        scans: Number of scans in the pool for each number of views.
        iterations: Iterations of the loop on a scan before a fresh scan replaces it.
        alone_share: Share of the first stage's steps, at its start, with fresh scans only (one-shot). After
            it the number of iterations grows from 1.
    """

    views: tuple[int, ...] = (32, 51, 80)
    scans: int = 4
    iterations: int = 6
    alone_share: float = 0.15

    def __post_init__(self) -> None:
        if not self.views:
            raise ValueError("views is empty; expected at least 1 value")
        _require_positive(self, "scans", "iterations")


@dataclasses.dataclass(frozen=True)
class Report:
    """How often a run reports.

    Attributes:
        log_every: Steps between records of the log; a step that is validated has one, too.
        validate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
        validation: Validation scans for each number of views.
    """

    log_every: int = 20
    validate_every: int = 250
    checkpoint_every: int = 250
    validation: int = 2

    def __post_init__(self) -> None:
        _require_positive(self, "log_every", "validate_every", "checkpoint_every", "validation")


@dataclasses.dataclass(frozen=True)
class Banks:
    """Files of the scenes that are cut from files.

    Paths are files, folders or globs; relative ones lie below ``PFITRE_DATA``.

    Attributes:
        layouts: Chip layouts.
        images: Pictures.
        volumes: Volumes.
        count: Number of tiles of each family.
        side: Pixels along a side of a tile.
    """

    layouts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    count: int = 400
    side: int = SIDE

    def __post_init__(self) -> None:
        if self.count < 1 or self.side < 16:
            raise ValueError(f"count is {self.count} and side {self.side}; expected at least 1 and 16")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """All settings of a training.

    Attributes:
        name: Name of the prior and of its files.
        seed: Seed of everything that is drawn.
        network: Layout of the network.
        pairs: Training pairs.
        instrument: Virtual instrument of the stages without one of their own.
        scenes: Mixture of scenes of the stages without one of their own.
        banks: Files that scenes are cut from.
        losses: Losses of the stages without their own.
        pool: Pool of simulated scans.
        optimisation: Optimiser.
        stages: Stages, one after the other.
        report: Log, validation and checkpoints.
    """

    name: str = "circuits"
    seed: int = 0
    network: UNetConfig = dataclasses.field(default_factory=UNetConfig)
    pairs: PairSettings = dataclasses.field(default_factory=PairSettings)
    instrument: Instrument = dataclasses.field(default_factory=Instrument)
    scenes: SceneMixture = dataclasses.field(default_factory=SceneMixture)
    banks: Banks = dataclasses.field(default_factory=Banks)
    losses: LossWeights = dataclasses.field(default_factory=LossWeights)
    pool: Pool = dataclasses.field(default_factory=Pool)
    optimisation: Optimisation = dataclasses.field(default_factory=Optimisation)
    stages: tuple[Stage, ...] = (Stage(),)
    report: Report = dataclasses.field(default_factory=Report)

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("stages is empty; expected at least 1 value")
        if not _FILE_NAME.fullmatch(self.name) or self.name in _RESERVED_NAMES:
            raise ValueError(
                f"name is {self.name!r}; expected a name for the files of the prior: letters, digits, '_', "
                "'-', '.' and spaces, starting with a letter or digit, other than "
                f"{', '.join(_RESERVED_NAMES)}"
            )

    @property
    def steps(self) -> int:
        """Total number of gradient steps."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> Stage:
        """Returns the stage of a step, with its instrument, scenes and losses filled in.

        Args:
            step: Step, counted from 0; steps beyond the end belong to the last stage.
        """
        ends = itertools.accumulate(stage.steps for stage in self.stages)
        stage = next((s for s, end in zip(self.stages, ends, strict=True) if step < end), self.stages[-1])
        inherited = {name: getattr(self, name) for name in INHERITED if getattr(stage, name) is None}
        return dataclasses.replace(stage, **inherited)

    def stage_pool(self, stage: Stage) -> Pool:
        """Returns the pool of a stage: where its iterations are the whole loop, every scan is a fresh one."""
        return dataclasses.replace(
            self.pool,
            iterations=1 if stage.learned == "iterations" else self.pool.iterations,
            views=self.pool.views if stage.views is None else stage.views,
        )

    def stage_pairs(self, stage: Stage) -> PairSettings:
        """Returns the settings of the training pairs of a stage."""
        return dataclasses.replace(
            self.pairs,
            rho=self.pairs.rho if stage.rho is None else stage.rho,
            rho_jitter=self.pairs.rho_jitter if stage.rho_jitter is None else stage.rho_jitter,
        )

    def active_start_share(self, step: int) -> tuple[int, float]:
        """Returns the first step of the stage whose ``start_share`` applies at ``step``, and the share.

        Without one they are 0.

        Args:
            step: Step, counted from 0.
        """
        active, first = (0, 0.0), 0
        for stage in self.stages:
            if stage.start_share and first <= step:
                active = first, stage.start_share
            first += stage.steps
        return active

    def span(self, name: str) -> tuple[int, int]:
        """Returns the first step of the stage called ``name`` and the step after its last.

        Raises:
            ValueError: If no stage has that name.
        """
        names = [stage.name for stage in self.stages]
        if not name or name not in names:
            known = ", ".join(filter(None, names)) or "none with a name"
            raise ValueError(f"{self.name} has no stage {name!r}; expected one of its stages: {known}")
        number = names.index(name)
        first = sum(stage.steps for stage in self.stages[:number])
        return first, first + self.stages[number].steps

    def bank_files(self) -> dict[str, list[Path]]:
        """Returns the files of each family of scenes that a stage cuts from files.

        Raises:
            ValueError: If ``banks`` names no file for a family, or a held-out file, or a GDSII file while
                gdstk is not installed.
            FileNotFoundError: If a file does not exist.
        """
        mixtures = [self.scenes, *(stage.scenes for stage in self.stages if stage.scenes is not None)]
        files: dict[str, list[Path]] = {}
        for name in BANKED:
            if any(name in mixture.banked for mixture in mixtures):
                if not (patterns := getattr(self.banks, name)):
                    raise ValueError(
                        f"the scenes {name} have a weight and no files; expected files in [banks], "
                        f"{name} = [...], or the weight 0"
                    )
                files[name] = find_files(name, patterns)
                refuse_held_out(files[name])
        require_gdstk(files.get("layouts", ()))
        return files

    def check(self) -> None:
        """Checks that a run with this configuration is possible.

        Raises:
            ValueError: If an artifact or the network needs the rows of a volume and the slices are
                independent, if a stage learns less than the one before or another than the network after a
                ``start_share``, and as :meth:`bank_files`.
            FileNotFoundError: As :meth:`bank_files`.
        """
        for stage in self.stages:
            (self.instrument if stage.instrument is None else stage.instrument).require_rows(
                self.pairs.volume
            )
        network = self.network
        if (network.in_channels > 2 or network.along_rows) and not self.pairs.volume:
            raise ValueError(
                f"the network has {network.in_channels} input channels and along_rows is "
                f"{network.along_rows}: it uses neighbouring rows, and the slices are independent; expected "
                "volume = true in [pairs]"
            )
        losses = [self.losses, *(stage.losses for stage in self.stages if stage.losses is not None)]
        if any(weights.expected_error for weights in losses) and not network.expected_error:
            raise ValueError(
                "the loss expected_error has a weight and the network does not have this output; expected "
                "expected_error = true in [network], or the weight 0"
            )
        for before, stage in itertools.pairwise(self.stages):
            had, has = before.iterations, stage.iterations
            if had not in (None, 1, has) or (had and not has):
                raise ValueError(
                    f'a stage with learned = "{stage.learned}" follows one with learned = '
                    f'"{before.learned}"; expected the same with as many iterations, or the order network, '
                    "rho, iterations"
                )
        for number, stage in enumerate(self.stages):
            if stage.start_share and any(later.learned != "network" for later in self.stages[number:]):
                raise ValueError(
                    f"a stage has start_share {stage.start_share:g} and it or a later one learns rho or "
                    'iterations; expected learned = "network" in all of them, or start_share 0'
                )
        self.bank_files()

    def as_dict(self) -> dict[str, Any]:
        """Returns the settings as nested dictionaries."""
        return dataclasses.asdict(self)
