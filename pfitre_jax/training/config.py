"""One file that says how a prior is trained."""

from __future__ import annotations

import dataclasses
import itertools
import json
import tomllib
import typing
from pathlib import Path
from typing import Any

from pfitre_jax.models.unet import UNetConfig
from pfitre_jax.training.losses import LossWeights
from pfitre_jax.twin.instrument import Instrument
from pfitre_jax.twin.pairs import PairSettings
from pfitre_jax.twin.scenes.bank import SIDE
from pfitre_jax.twin.scenes.data_files import find_files, refuse_held_out
from pfitre_jax.twin.scenes.layouts import require_gdstk
from pfitre_jax.twin.scenes.mixture import BANKED, SceneMixture

#: Configurations that the package brings, by name.
CONFIGS = Path(__file__).parent / "configs"
#: What a stage learns, see :class:`Stage`.
LEARNED = ("network", "rho", "iterations")
#: What a stage may have of its own.
INHERITED = ("instrument", "scenes", "losses")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the training, with a warm-up and a cosine decay of the learning rate of its own.

    steps: gradient steps
    rate, final_rate: learning rate at its peak and at the end; warm_up: steps
    first_iterations: of the first reconstruction that the loops start from (``solvers.first.FIRST``), 0 for
        none; the shipped weights are used with that of the stage they come from
    instrument, scenes, losses: of this stage; ``None`` for those of the configuration. In a file, what a
        stage leaves out is as in the stage before: a curriculum says what changes
    unrolled: iterations of the loop that a step differentiates through; 1: of the network alone, where the
        loop stands
    learned: "network": one, for every rho of the pairs; "rho": with it one rho, for any number of iterations;
        "iterations": a network and a rho for each of the iterations that the stage is unrolled for, which are
        the loop then. Begins with the average of the weights, and rho in the middle of the pairs'
    name: to ask for it alone, see :meth:`TrainingConfig.span`
    """

    steps: int = 6000
    rate: float = 1e-3
    final_rate: float = 1e-5
    warm_up: int = 200
    first_iterations: int = 0
    instrument: Instrument | None = None
    scenes: SceneMixture | None = None
    losses: LossWeights | None = None
    unrolled: int = 1
    learned: str = "network"
    name: str = ""

    def __post_init__(self):
        if self.unrolled < 1:
            raise ValueError(f"a stage is unrolled {self.unrolled} times; expected at least 1")
        if self.learned not in LEARNED:
            raise ValueError(f"a stage learns {self.learned!r}; expected one of {', '.join(LEARNED)}")
        if self.learned != "network" and self.unrolled == 1:
            raise ValueError(
                f'learned = "{self.learned}" needs several iterations to learn from; expected a stage that '
                "is unrolled at least 2 times"
            )

    @property
    def iterations(self) -> int | None:
        """How many iterations have a network and a rho of their own; 1: shared by all; ``None``: for every
        rho."""
        return {"network": None, "rho": 1, "iterations": self.unrolled}[self.learned]


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """What all stages share.

    method: "adamw" (Loshchilov & Hutter, ICLR 2019), or "muon", whose steps of every kernel are orthogonal
        matrices (Jordan et al., 2024), and of the other parameters Adam's with Nesterov's momentum
    weight_decay: of either; muon's of those kernels only
    clip: global norm that gradients are clipped to
    ema: decay of the average of the weights, which is what is shipped
    """

    method: str = "adamw"
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999

    def __post_init__(self):
        if self.method not in ("adamw", "muon"):
            raise ValueError(f"the optimiser is {self.method!r}; expected adamw or muon")


@dataclasses.dataclass(frozen=True)
class Pool:
    """The pool of scans whose reconstruction loops run beside the training.

    views: view counts; each scan has one of them (a compilation each)
    scans: scans kept in the pool for each view count
    iterations: the loop runs this long on a scan before a fresh one takes its place
    alone_share: of the first stage's steps, at its start, with fresh scans only (one-shot), before the
        loop's own iterates come in, first 1, then more and more of them
    """

    views: tuple[int, ...] = (32, 51, 80)
    scans: int = 4
    iterations: int = 6
    alone_share: float = 0.15


@dataclasses.dataclass(frozen=True)
class Report:
    """log_every, validate_every, checkpoint_every: steps; validation: scans for each view count."""

    log_every: int = 20
    validate_every: int = 250
    checkpoint_every: int = 250
    validation: int = 2


@dataclasses.dataclass(frozen=True)
class Banks:
    """Where the scenes that come from files come from.

    layouts, images, volumes: files, folders or globs, below ``PFITRE_DATA`` where they are relative
    count, side: tiles of each family, and pixels along a side of a tile
    """

    layouts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    count: int = 400
    side: int = SIDE

    def __post_init__(self):
        if self.count < 1 or self.side < 16:
            raise ValueError(
                f"banks have count {self.count} and side {self.side}; expected at least 1 and 16"
            )


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """name: of the prior; seed: of everything drawn."""

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

    @property
    def steps(self) -> int:
        """Gradient steps in all."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> Stage:
        """The stage that this step, counted from 0, belongs to; the last one beyond the end. Complete: its
        instrument, scenes and losses are those of the configuration where it has none of its own.
        """
        ends = itertools.accumulate(stage.steps for stage in self.stages)
        stage = next((s for s, end in zip(self.stages, ends, strict=True) if step < end), self.stages[-1])
        inherited = {name: getattr(self, name) for name in INHERITED if getattr(stage, name) is None}
        return dataclasses.replace(stage, **inherited)

    def loops(self, stage: Stage) -> Pool:
        """The pool in a stage: where its iterations are the loop, every scan is a fresh one."""
        return dataclasses.replace(self.pool, iterations=1) if stage.learned == "iterations" else self.pool

    def span(self, name: str) -> tuple[int, int]:
        """The steps, from and to, of the stage called ``name``; ``ValueError`` where there is none."""
        names = [stage.name for stage in self.stages]
        if not name or name not in names:
            known = ", ".join(filter(None, names)) or "none with a name"
            raise ValueError(f"{self.name} has no stage {name!r}; expected one of its stages: {known}")
        number = names.index(name)
        first = sum(stage.steps for stage in self.stages[:number])
        return first, first + self.stages[number].steps

    def bank_files(self) -> dict[str, list[Path]]:
        """The files of each family that is drawn from files, in any stage.

        Raises ``ValueError`` where ``banks`` names none, one that is held out, or GDSII without gdstk,
        ``FileNotFoundError`` where they are not there.
        """
        mixtures = [self.scenes, *(stage.scenes for stage in self.stages if stage.scenes is not None)]
        found = {}
        for name in BANKED:
            if any(name in mixture.banked for mixture in mixtures):
                if not (patterns := getattr(self.banks, name)):
                    raise ValueError(
                        f"{self.name} gives the scenes {name} a weight, but names no files for them; "
                        f"expected some in [banks], {name} = [...], or the weight 0"
                    )
                found[name] = find_files(name, patterns)
                refuse_held_out(found[name])
        require_gdstk(found.get("layouts", ()))
        return found

    def check(self) -> None:
        """Raise where no run can be made of it: ``ValueError`` for imperfections that need the rows of one
        volume, in any stage, where the slices are independent, for a network that sees neighbouring rows
        there, and for a stage that learns less than the one before; what :meth:`bank_files` raises.
        """
        for stage in self.stages:
            (self.instrument if stage.instrument is None else stage.instrument).require_rows(
                self.pairs.volume
            )
        network = self.network
        if (network.in_channels > 2 or network.along_rows) and not self.pairs.volume:
            raise ValueError(
                f"the network has {network.in_channels} input channels, along_rows is {network.along_rows}: "
                "it sees neighbouring rows, and slices are independent; expected volume = true in [pairs]"
            )
        for before, stage in itertools.pairwise(self.stages):
            had, has = before.iterations, stage.iterations
            if had not in (None, 1, has) or (had and not has):
                raise ValueError(
                    f'a stage learns "{stage.learned}" after one that learned "{before.learned}"; expected '
                    "the same, with as many iterations, or more: network, then rho, then iterations"
                )
        self.bank_files()

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def load_config(path_or_name) -> TrainingConfig:
    """Read a TOML file, or a shipped configuration by name; what it leaves out has its default.

    With ``after = "NAME"`` it goes on where another configuration ends: what it leaves out is as there, and
    its stages follow those.

    Raises ``FileNotFoundError`` for neither, ``ValueError`` for broken TOML, unknown keys or a value of
    the wrong kind.
    """
    path, table = _read(path_or_name)
    return _build(TrainingConfig, _inherit(table), str(path))


def _read(path_or_name, later: tuple[Path, ...] = ()) -> tuple[Path, dict]:
    path = Path(path_or_name)
    if not path.exists() and path.suffix == "":
        path = CONFIGS / f"{path.name}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise FileNotFoundError(
            f"no training configuration at {path_or_name}; expected a TOML file, or one of: {shipped}"
        )
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    return path, _go_on(table, (*later, path))


def _go_on(table: dict, paths: tuple[Path, ...]) -> dict:
    """The table of the last of ``paths`` completed by the one that it comes ``after``, if any."""
    table = dict(table)
    before = table.pop("after", None)
    if before is None:
        return table
    if not isinstance(before, str) or before in [path.stem for path in paths]:
        raise ValueError(f"{paths[-1]}: after is {before!r}; expected the name of another configuration")
    _, earlier = _read(before, paths)
    both = [name for name in table if isinstance(table[name], dict) and isinstance(earlier.get(name), dict)]
    merged = earlier | table | {name: earlier[name] | table[name] for name in both}
    if isinstance(table.get("stages", []), list):
        merged["stages"] = [*earlier.get("stages", []), *table.get("stages", [])]
    return merged


def completed(table: dict) -> dict:
    """A configuration as :meth:`TrainingConfig.as_dict` gives it, with the defaults of what it lacks."""
    default = json.loads(json.dumps(TrainingConfig().as_dict()))
    blank = json.loads(json.dumps(dataclasses.asdict(Stage())))
    own = lambda stage: {name: default[name] for name in INHERITED if isinstance(stage.get(name), dict)}  # noqa: E731
    stages = [_filled(stage, blank | own(stage)) for stage in table.get("stages", [])]
    return _filled(table, default) | {"stages": stages}


def _filled(table: dict, default: dict) -> dict:
    inner = {
        name: _filled(value, default[name])
        for name, value in table.items()
        if isinstance(value, dict) and isinstance(default.get(name), dict)
    }
    return {**default, **table, **inner}


def _inherit(table: dict) -> dict:
    """The table with what its stages change completed by what they leave as it was in the stage before."""
    stages = table.get("stages")
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        return table
    so_far = {name: table[name] for name in INHERITED if isinstance(table.get(name), dict)}
    changed, complete = set(), []
    for stage in stages:
        own = {name: stage[name] for name in INHERITED if isinstance(stage.get(name), dict)}
        so_far |= {name: so_far.get(name, {}) | values for name, values in own.items()}
        changed |= set(own)
        rest = {name: value for name, value in stage.items() if name not in own}
        complete.append({name: so_far[name] for name in changed} | rest)
    return table | {"stages": complete}


def _build(kind, table: dict, where: str):
    if not isinstance(table, dict):
        raise ValueError(f"{where} is {table!r}; expected a table")
    default = kind()
    names = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(table) - names)
    if unknown:
        known = ", ".join(sorted(names))
        raise ValueError(f"{where} has unknown {', '.join(unknown)}; expected some of {known}")
    values, hints = {}, typing.get_type_hints(kind)
    for name, value in table.items():
        current = getattr(default, name)
        optional = [kind for kind in typing.get_args(hints[name]) if dataclasses.is_dataclass(kind)]
        if current is None and optional:
            values[name] = _build(optional[0], value, f"{where}: {name}")
        elif dataclasses.is_dataclass(current):
            values[name] = _build(type(current), value, f"{where}: {name}")
        else:
            values[name] = _convert(value, _example(current, hints[name]), f"{where}: {name}")
            if values[name] != current:
                _check_length(values[name], hints[name], f"{where}: {name}")
    return kind(**values)


def _example(current, hint):
    """A value like those expected: what is there, or one of the kind where that is an empty tuple."""
    return current if current != () else (typing.get_args(hint)[0](),)


def _check_length(value, hint, where: str) -> None:
    # tuple[float, float] is a range; tuple[int, ...] is one value or more.
    kinds = typing.get_args(hint)
    if isinstance(value, tuple) and (not value or (... not in kinds and len(value) != len(kinds))):
        number = "at least 1 value" if ... in kinds else f"{len(kinds)} values"
        raise ValueError(f"{where} is {list(value)}; expected {number}")


def _convert(value, current, where: str):
    if isinstance(current, tuple) and isinstance(value, list):
        if dataclasses.is_dataclass(current[0]):
            return tuple(_build(type(current[0]), v, f"{where} {i + 1}") for i, v in enumerate(value))
        return tuple(_convert(v, current[0], where) for v in value)
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if current is not None and type(value) is not type(current):
        raise ValueError(f"{where} is {value!r}; expected {type(current).__name__}, like {current!r}")
    return value
