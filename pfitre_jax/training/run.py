"""The training run: a pool of scans whose loops advance with the network, log, pictures, checkpoints."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.metrics import psnr
from pfitre_jax.plotting.training import draw_samples, draw_training_curves
from pfitre_jax.priors import files, network
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.runtime import devices
from pfitre_jax.runtime.versions import package_versions
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.training.checkpoint import Checkpoints
from pfitre_jax.training.config import Pool, Stage, TrainingConfig
from pfitre_jax.training.config_file import structure
from pfitre_jax.training.parameters import params_of, prior_of
from pfitre_jax.training.step import (
    TrainState,
    go_on,
    make_optimiser,
    start_state,
    train_step,
)
from pfitre_jax.trust import image_statistics
from pfitre_jax.twin.pairs import Batch, PairSettings, draw, start
from pfitre_jax.twin.scenes.data_files import make_banks

#: Keys of the validation scans are folded with this; training keys with the step, which stays below it.
VALIDATION_KEY = 2**31 - 1


def train(
    config: TrainingConfig,
    out: Path,
    *,
    command: str = "",
    steps: int | None = None,
    weights: network.NetworkPrior | UnrolledPrior | None = None,
    stage: str | None = None,
    report: Callable[[dict], None] = lambda record: None,
    enough: Callable[[], bool] = lambda: False,
) -> Path:
    """Train a prior as ``config`` says and return the path of its weights, ``out/NAME.npz``.

    Goes on from the last checkpoint in ``out``. Writes ``log.jsonl`` (a record per ``log_every`` steps),
    ``curve.png``, ``samples.png``, the weights with their model card ``NAME.json``, at each validation.

    command: recorded in the model card
    steps: stop after this many steps of the ones configured, to go on later
    weights: a prior that an earlier part of such a run left; where ``out`` holds no checkpoint, the run is
        taken up after the steps that its card tells, with the moments of the optimiser anew
    stage: the name of the only stage to make, from ``weights`` wherever these came from; needs them, or a
        checkpoint of that stage in ``out``
    report: called with each record of the log
    enough: asked wherever a checkpoint is due; where it is so, the run stops there, to go on later

    Raises ``FloatingPointError`` when a loss is not finite: the weights stay as they were before that step,
    and its batch is written to ``out/bad_batch.npz``. ``ValueError`` when checkpoints of another
    configuration lie in ``out``, for ``weights`` that :func:`check_weights` refuses, and what
    :meth:`TrainingConfig.check` raises.
    """
    out = Path(out)
    config.check()
    if weights is not None:
        check_weights(config, weights, steps, stage)
    claim(config, out)
    key = jax.random.key(config.seed)
    blank = network.NetworkPrior.create(config.network, jax.random.fold_in(key, 0), {"name": config.name})
    # What is learned from an image is learned from its mirror images another time.
    blank = dataclasses.replace(blank, symmetric=False)
    run = _Compiled(config, blank)
    begin = blank if weights is None else _in_layout(config, weights)
    first, last = (_steps_made(begin), config.steps) if stage is None else config.span(stage)
    log = out / "log.jsonl"
    last = last if steps is None else min(steps, last)
    if last <= first:
        raise ValueError(f"steps is {steps} and the stage begins after {first}; expected more than that")
    with Checkpoints(out / "checkpoints") as checkpoints:
        if (latest := checkpoints.latest()) is not None:
            state = checkpoints.restore(run.begin(blank, config.stage(latest - 1)))
            _cut_log(log, int(state.step))
        else:
            state = run.begin(begin, config.stage(first), first)
        if latest is None and stage is not None and weights is None:
            raise ValueError(f"there are no weights to begin the stage {stage!r} with; expected some")
        if stage is not None and not config.span(stage)[0] <= int(state.step):
            raise ValueError(
                f"{out} holds a run that is at step {int(state.step)}; expected one within the stage "
                f"{stage!r}, from step {first} on: choose another folder"
            )
        now = None
        generator = np.random.default_rng([config.seed, int(state.step)])
        began, first = time.monotonic(), int(state.step)
        for step in range(first, last):
            if now != (now := config.stage(step)):
                state = run.go_over(state, now)
                # Loops of another stage started from other first reconstructions.
                pool: dict[int, list[Batch]] = {views: [] for views in config.pool.views}
                validation = run.validation(key, now)
            views = int(generator.choice(config.pool.views))
            given, slot = _take(pool[views], config.stage_pool(now), step / config.stages[0].steps, generator)
            if given is None:
                given = run.start(jax.random.fold_in(key, 1 + step), views, now)
            state, batch, metrics = run.step(state, given, now)
            pool[views][slot : slot + 1] = [batch]
            done = step + 1
            checkpoint_due = done % config.report.checkpoint_every == 0 or done == last
            ends = done == last or (checkpoint_due and enough())
            log_due = done % config.report.log_every == 0 or ends
            if not np.isfinite([metrics["loss"], metrics["gradient_norm"]]).all():
                raise FloatingPointError(_save_bad(given, metrics, done, out))
            if log_due:
                record = {"step": done, "k": int(given.k), "views": views}
                record |= {name: float(value) for name, value in metrics.items()}
                record["seconds_per_step"] = (time.monotonic() - began) / (done - first)
                record["steps"] = config.steps
                if done % config.report.validate_every == 0 or ends:
                    scores, trust, images = run.validate(state, validation, now)
                    record |= scores
                    draw_samples(images).savefig(out / "samples.png")
                    export(config, state, scores, trust, out, command)
                with log.open("a") as file:
                    file.write(json.dumps(record) + "\n")
                if "validation_psnr" in record:
                    records = [json.loads(line) for line in log.read_text().splitlines()]
                    draw_training_curves(records).savefig(out / "curve.png")
                report(record)
            if checkpoint_due:
                checkpoints.save(done, state)
            if ends:
                break
    return out / f"{config.name}.npz"


def export(
    config: TrainingConfig, state: TrainState, scores: dict, trust: dict, out: Path, command: str
) -> Path:
    """Write the averaged weights as ``out/NAME.npz`` with the card inside, and beside it as ``NAME.json``.

    trust: what the card tells the check of a scan: ``disagreement``, ``median`` and ``limit`` of how much the
        prior would change its own results, and ``likeness``, see :func:`pfitre_jax.trust.reference_statistics`
    """
    stage = config.stage(int(state.step) - 1)
    low, high = stage.instrument.missing_deg
    made = prior_of(network.NetworkPrior(None, config.network), state.average)
    learned_rho = [] if isinstance(made, network.NetworkPrior) else [jnp.min(made.rho), jnp.max(made.rho)]
    card = {
        "name": config.name,
        "command": command,
        "steps": int(state.step),
        "config": config.as_dict(),
        "trained_on": {
            "missing_deg": [low, high],
            "views": [min(config.pool.views), max(config.pool.views)],
            "noise": list(stage.instrument.noise),
            "rho": [float(rho) for rho in learned_rho] or list(config.pairs.rho),
            "size": config.pairs.size,
            "first_iterations": stage.first_iterations,
        },
        "scale": "0.995 quantile of a quick reconstruction is 1",
        "made_on": {
            "machine": platform.platform(),
            "devices": str(jax.devices()[0].device_kind),
            **package_versions(),
        },
        "training_scores": scores,
        **trust,
    }
    prior = prior_of(network.NetworkPrior(None, config.network, card), state.average)
    path = out / f"{config.name}.npz"
    saved = files.save(path, prior)
    path.with_suffix(".json").write_text(json.dumps(saved.info.card, indent=2) + "\n")
    return path


class _Compiled:
    """The jitted programs of one configuration; one compilation for each view count."""

    def __init__(self, config: TrainingConfig, prior: network.NetworkPrior):
        self.config = config
        self.prior = prior
        # Each device has its share of the slices, where they can be shared out evenly.
        mesh = devices.local_mesh()
        apart = not config.pairs.volume and config.pairs.slices % devices.device_count(mesh) == 0
        mesh = mesh if apart else None
        self.banks = make_banks(config.bank_files(), config.banks.count, config.banks.side, config.seed)
        self._draw = jax.jit(draw, static_argnames=("scenes", "settings"))
        self._start = jax.jit(
            functools.partial(start, settings=config.pairs),
            static_argnames=("instrument", "views", "first_iterations"),
        )
        self.optimiser = make_optimiser(config.optimisation, config.stages)
        cg = config.pairs.cg_iterations
        self._step = jax.jit(
            lambda state, batch, weights, unrolled: train_step(
                prior, state, batch, config.optimisation, weights, self.optimiser, cg, unrolled, mesh
            ),
            static_argnums=(2, 3),
            donate_argnums=(0,),
        )
        self._iterate = jax.jit(self._loop_iteration)
        self._finish = jax.jit(
            lambda batch: batch.each(HQS(prior, batch.rho, cg).finish, batch.iterate, batch.state)
        )

    def begin(self, prior, stage: Stage, step: int = 0) -> TrainState:
        """The state after ``step`` steps that led to ``prior``, for a stage that goes on with it."""
        low, high = self.config.pairs.rho
        rho = (low * high) ** 0.5
        return start_state(prior, self.optimiser, step, iterations=stage.iterations, rho=rho)

    def go_over(self, state: TrainState, stage: Stage) -> TrainState:
        """The state itself, or where the stage learns more than before, one begun with the average."""
        made = prior_of(self.prior, state.average)
        begun = self.begin(made, stage, int(state.step))
        return state if jax.tree.map(jnp.shape, begun) == jax.tree.map(jnp.shape, state) else begun

    def start(self, key, views: int, stage: Stage, settings: PairSettings | None = None) -> Batch:
        k_scenes, k_scan = jax.random.split(key)
        settings = self.config.pairs if settings is None else settings
        return self._start(
            k_scan,
            self._draw(k_scenes, scenes=stage.scenes, settings=settings, banks=self.banks),
            instrument=stage.instrument,
            views=views,
            first_iterations=stage.first_iterations,
        )

    def step(self, state: TrainState, batch: Batch, stage: Stage):
        return self._step(state, batch, stage.losses, stage.unrolled)

    def validation(self, key, stage: Stage) -> list[Batch]:
        keys = jax.random.split(jax.random.fold_in(key, VALIDATION_KEY), self.config.report.validation)
        # Not those that are trained on, where these are few.
        fresh = dataclasses.replace(self.config.pairs, distinct=0)
        return [self.start(k, views, stage, fresh) for views in self.config.pool.views for k in keys]

    def validate(self, state: TrainState, batches: list[Batch], stage: Stage):
        """Mean PSNR (range 1 after scaling) over the loop's iterations; how much the prior would still change
        the results and what they look like; and images of the first batch."""
        start_db, one_shot, proposed_db, result_db, changes, looks = [], [], [], [], [], []
        images = None
        for first in batches:
            batch = first
            start_db.append(_mean_psnr(batch.iterate.x, batch))
            for k in range(stage.unrolled if stage.learned == "iterations" else self.config.pool.iterations):
                batch, z = self._iterate(state.average, batch)
                if k == 0:
                    one_shot.append(_mean_psnr(z, batch))
            proposed_db.append(_mean_psnr(z, batch))
            result = self._finish(batch)
            result_db.append(_mean_psnr(result, batch))
            looks.extend(np.asarray(_statistics(result)))
            x = np.asarray(batch.iterate.x)
            change = np.asarray(self._iterate(state.average, batch)[1]) - x
            changes.extend(np.linalg.norm(change, axis=(1, 2)) / np.linalg.norm(x, axis=(1, 2)))
            if images is None:
                images = {"truth": batch.truth, "start": first.iterate.x, "network": z, "result": result}
        scores = {
            "validation_start": float(np.mean(start_db)),
            "validation_one_shot": float(np.mean(one_shot)),
            "validation_network": float(np.mean(proposed_db)),
            "validation_psnr": float(np.mean(result_db)),
        }
        disagreement = {"median": float(np.median(changes)), "limit": float(np.quantile(changes, 0.95))}
        trust = {"disagreement": disagreement}
        if len(looks) > image_statistics.NEIGHBOURS:
            trust["likeness"] = image_statistics.reference_statistics(looks)
        return scores, trust, {name: np.asarray(value) for name, value in images.items()}

    def _loop_iteration(self, params, batch: Batch):
        _, proposals, batch = go_on(prior_of(self.prior, params), batch, self.config.pairs.cg_iterations)
        return batch, proposals[:, -1]


_statistics = jax.jit(jax.vmap(image_statistics.statistics))


def _mean_psnr(images, batch: Batch) -> float:
    return float(jnp.mean(jax.vmap(lambda a, b: psnr(a, b, batch.problem.support))(images, batch.truth)))


def _take(scans: list[Batch], pool: Pool, progress: float, generator):
    """A scan of the pool to go on with and its slot, or ``None`` and the slot for a fresh one.

    At first every scan is fresh; then the loops may run longer and longer, as the network learns.
    """
    grown = (progress - pool.alone_share) / max(2 * pool.alone_share, 1e-9)
    allowed = 0 if progress < pool.alone_share else min(1 + int(grown * pool.iterations), pool.iterations)
    if len(scans) < pool.scans:
        return None, len(scans)
    slot = int(generator.integers(len(scans)))
    if int(scans[slot].k) > min(allowed, pool.iterations - 1):
        return None, slot
    return scans[slot], slot


def check_weights(
    config: TrainingConfig,
    prior: network.NetworkPrior | UnrolledPrior,
    steps: int | None = None,
    stage: str | None = None,
) -> None:
    """``ValueError`` where a run of ``config`` cannot be taken up from ``prior``: it is of another network,
    or of iterations that the next stage does not learn, or has made all the steps asked for; a ``stage`` is
    made from any steps."""
    prior = _in_layout(config, prior)
    first = _steps_made(prior) if stage is None else config.span(stage)[0]
    jax.eval_shape(lambda: params_of(prior, config.stage(first).iterations, 1.0))
    if stage is not None:
        return
    last, made = config.steps if steps is None else min(steps, config.steps), _steps_made(prior)
    if made >= last:
        raise ValueError(
            f"the weights have made {made} steps and the run ends after {last}; expected fewer: add a "
            "stage to the configuration, or make one longer"
        )


def _in_layout(config: TrainingConfig, prior):
    """The prior with the network of the configuration, which may see more rows than its own; ``ValueError``
    for another network."""
    if isinstance(prior, UnrolledPrior):
        return dataclasses.replace(prior, prior=_in_layout(config, prior.prior))
    return network.extend(prior, config.network)


def _steps_made(prior: network.NetworkPrior) -> int:
    return int(prior.info.card.get("steps", 0))


def _save_bad(batch: Batch, metrics: dict, step: int, out: Path) -> str:
    """Write the batch of a failed step and say so."""
    path = out / "bad_batch.npz"
    arrays = {
        "sinograms": batch.sinograms,
        "truth": batch.truth,
        "mask": batch.problem.mask,
        "theta_rad": batch.problem.A.geometry.theta_rad,
        "center": batch.problem.A.geometry.center,
        "x": batch.iterate.x,
        "gradient": -batch.state.gradient / batch.rho,
        "rho": batch.rho,
    }
    write_files(out, {path.name: lambda p: p.write_bytes(_packed(arrays))})
    return (
        f"the loss at step {step} is {float(metrics['loss'])}, the norm of its gradient "
        f"{float(metrics['gradient_norm'])}; its batch is in {path}, and the last checkpoint in "
        f"{out / 'checkpoints'} is good: lower the rate of its stage and go on from it"
    )


def _packed(arrays: dict) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.asarray(value) for name, value in arrays.items()})
    return buffer.getvalue()


def claim(config: TrainingConfig, out: Path) -> None:
    """Make ``out`` the folder of this configuration's run, ``config.json`` in it.

    ``ValueError`` where it holds the run of another configuration; stages may be made longer, or added.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "config.json"
    new = json.loads(json.dumps(config.as_dict()))
    if path.exists():
        try:
            # A run of an older version lacks newer options, which then have their defaults.
            old = json.loads(
                json.dumps(structure(json.loads(path.read_text()), path.name, unknown_keys=True).as_dict())
            )
        except ValueError as error:
            raise ValueError(
                f"{path} is no JSON ({error}); expected the configuration of the run in this folder: choose "
                "another output folder"
            ) from error
        shape = lambda config: [{**s, "steps": 0} for s in config.get("stages", [])]  # noqa: E731
        begun = shape(old)
        if {**old, "stages": 0} != {**new, "stages": 0} or begun != shape(new)[: len(begun)]:
            raise ValueError(
                f"{path.parent} holds a run of another configuration ({path.name} differs); expected the "
                "same, but for longer or more stages, to go on with it: use another output folder"
            )
    write_files(out, {path.name: lambda path: path.write_text(json.dumps(new, indent=2) + "\n")})


def _cut_log(path: Path, step: int) -> None:
    """Leave out the records after the checkpoint that the run goes on from, and a half-written last one."""
    if path.exists():
        *lines, _ = path.read_text().split("\n")
        path.write_text("".join(line + "\n" for line in lines if json.loads(line)["step"] <= step))
