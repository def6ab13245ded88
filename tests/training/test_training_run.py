"""Tiny training runs: files, resuming after an interruption, and refused input."""

from __future__ import annotations

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.files import load
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.training import optimiser, programs, run_folder, train_step, training_run
from pfitre_jax.training.checkpoints import Checkpoints
from pfitre_jax.training.config import Banks, Optimisation, Pool, Report, Stage, TrainingConfig
from pfitre_jax.twin.pairs import PairSettings
from pfitre_jax.twin.scenes.mixture import SceneMixture

STOP = 3


def read_log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def last_state(config, blank, out):
    with Checkpoints(out / "checkpoints") as checkpoints:
        return checkpoints.restore(
            train_step.start_state(blank, optimiser.make_optimiser(config.optimisation, config.stages))
        )


def files(out):
    """Contents of all files of a run."""
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def check_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def config() -> TrainingConfig:
    return TrainingConfig(
        name="tiny",
        seed=3,
        network=UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8),
        pairs=PairSettings(size=32, slices=2, cg_iterations=2),
        scenes=SceneMixture(circuits=0, patterns=0, blobs=1),
        pool=Pool(views=(16,), scans=1, iterations=2, alone_share=0.15),
        # The rate is the same from its warm-up on, however long one trains.
        optimisation=Optimisation(method="muon", clip=0.02, ema=0.9),
        stages=(Stage(steps=8, rate=0.01, final_rate=0.01, warm_up=2),),
        report=Report(log_every=1, validate_every=8, checkpoint_every=2, validation=1),
    )


@pytest.fixture(scope="module")
def blank(config) -> NetworkPrior:
    """The network that a run of ``config`` starts with."""
    return NetworkPrior.create(config.network, jax.random.fold_in(jax.random.key(config.seed), 0))


class SharedPrograms:
    """The compiled programs of a run, for many runs: they do not give their input's memory away."""

    def __init__(self, programs):
        self.programs, self.prior = programs, programs.prior
        self.start_batch, self.validation_batches = programs.start_batch, programs.validation_batches
        self.start_state, self.enter_stage = programs.start_state, programs.enter_stage

    def step(self, state, batch, stage):
        return self.programs.step(_copy(state), _copy(batch), stage)

    def validate(self, state, batches, stage):
        return self.programs.validate(_copy(state), batches, stage)


def _copy(tree):
    return jax.tree.map(lambda a: jnp.array(np.asarray(a)), tree)


@pytest.fixture(scope="module")
def compiled(config, blank) -> SharedPrograms:
    """Compiled programs of the run, shared because compilation takes most of the time."""
    return SharedPrograms(programs.Programs(config, blank))


def test_scans_have_the_prior_strength_of_their_stage(config, compiled):
    stage = dataclasses.replace(config.stage(0), rho=(0.25, 0.25))
    assert float(compiled.start_batch(jax.random.key(0), 16, stage).rho) == pytest.approx(0.25)


@pytest.fixture(scope="module")
def train(compiled):
    """``training_run.train`` with the programs that are compiled already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run, "Programs", lambda config, prior: compiled)
        yield training_run.train


@pytest.fixture(scope="module")
def stopped(config, train, tmp_path_factory):
    """Folder of a run that was stopped after ``STOP`` of 8 steps."""
    out = tmp_path_factory.mktemp("runs") / "stopped"
    train(config, out, steps=STOP, command="pfitre train")
    return out


@pytest.fixture(scope="module")
def resumed(config, train, stopped):
    """Folder of the same run, resumed and finished."""
    out = stopped.parent / "resumed"
    shutil.copytree(stopped, out)
    # The log of a run that was killed between a log entry and the next checkpoint.
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": STOP + 1, "loss": 123.0}) + '\n{"step": 5, "lo')
    reported = []
    path = train(config, out, command="pfitre train", report=reported.append)
    assert path == out / "tiny.npz"
    assert [record["step"] for record in reported] == list(range(STOP + 1, 9))
    return out


def test_a_stopped_run_writes_all_files(config, blank, stopped):
    names = {path.name for path in stopped.iterdir()}
    expected = {
        "config.json",
        "log.jsonl",
        "tiny.npz",
        "tiny.json",
        "curve.png",
        "samples.png",
        "checkpoints",
    }
    assert names == expected
    assert json.loads((stopped / "config.json").read_text()) == json.loads(json.dumps(config.as_dict()))
    for name in ("curve.png", "samples.png"):
        assert (stopped / name).read_bytes().startswith(b"\x89PNG")
    log = read_log(stopped)
    assert [record["step"] for record in log] == [1, 2, 3]
    assert all(np.isfinite(value) for record in log for value in record.values())
    # Validation takes place only at the step where the run stopped.
    assert ["validation_psnr" in record for record in log] == [False, False, True]
    state = last_state(config, blank, stopped)
    assert int(state.step) == STOP
    changed = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), state.params.network, blank.params)
    assert max(jax.tree.leaves(changed)) > 1e-3


def test_a_validated_step_is_logged(config, train, tmp_path):
    report = Report(log_every=3, validate_every=2, checkpoint_every=4, validation=1)
    train(dataclasses.replace(config, report=report), tmp_path, steps=4)
    log = read_log(tmp_path)
    assert [(record["step"], "validation_psnr" in record) for record in log] == [
        *[(2, True), (3, False), (4, True)]
    ]


def test_a_resumed_run_continues_at_the_last_step(config, blank, stopped, resumed):
    log = read_log(resumed)
    assert [record["step"] for record in log] == list(range(1, 9))
    assert log[:STOP] == read_log(stopped)
    hours = [record["hours"] for record in log]
    assert hours == sorted(hours) and hours[STOP] > hours[STOP - 1] > 0
    assert [r["step"] for r in log if "validation_psnr" in r] == [STOP, 8]
    assert int(last_state(config, blank, resumed).step) == 8
    kept = sorted(int(path.name) for path in (resumed / "checkpoints").iterdir() if path.name.isdigit())
    assert kept == [6, 8]


def test_a_resumed_run_equals_the_uninterrupted_run(config, blank, train, resumed, tmp_path):
    train(config, tmp_path)
    ours, theirs = read_log(resumed), read_log(tmp_path)
    # The run stopped where a new scan is drawn, because the pool of scans is not part of a checkpoint.
    assert [record["k"] for record in ours] == [record["k"] for record in theirs]
    for name in ("loss", "l1", "l1_before", "gradient_norm"):
        np.testing.assert_array_equal([r[name] for r in ours], [r[name] for r in theirs])
    check_equal(last_state(config, blank, resumed), last_state(config, blank, tmp_path))


def test_should_stop_ends_the_run_at_a_checkpoint_with_weights(config, train, tmp_path):
    calls = []
    path = train(config, tmp_path, should_stop=lambda: calls.append(1) or len(calls) == 2)
    assert load(path).info.card["steps"] == 4 == read_log(tmp_path)[-1]["step"]
    assert "validation_psnr" in read_log(tmp_path)[-1]
    train(config, tmp_path, steps=5)
    assert read_log(tmp_path)[-1]["step"] == 5


def test_loops_continue_after_the_initial_phase(resumed):
    iterations = [record["k"] for record in read_log(resumed)]
    # New scans for the first 15% of 8 steps, then two iterations for each scan; the stop discards one scan.
    assert iterations == [0, 0, 1, 0, 1, 0, 1, 0]


def test_a_finished_run_is_not_changed(config, train, resumed):
    before = files(resumed)
    assert train(config, resumed) == resumed / "tiny.npz"
    assert files(resumed) == before


def test_exported_prior_is_the_average_of_the_weights(config, blank, compiled, resumed):
    state, loaded = last_state(config, blank, resumed), load(resumed / "tiny.npz")
    check_equal(loaded.params, state.average.network)
    batch, propose = (
        compiled.start_batch(jax.random.key(8), config.pool.views[0], config.stage(0)),
        jax.jit(train_step.propose),
    )
    # Another card would need another compilation.
    proposed = propose(dataclasses.replace(loaded, card=blank.card), batch)
    averaged, last = (
        propose(dataclasses.replace(blank, params=params), batch)
        for params in (state.average.network, state.params.network)
    )
    np.testing.assert_array_equal(proposed, averaged)
    assert not np.array_equal(proposed, last)


def test_card_describes_the_training(config, resumed):
    card, beside = load(resumed / "tiny.npz").info.card, json.loads((resumed / "tiny.json").read_text())
    assert beside == {name: card[name] for name in beside} and "trained_on" in beside
    assert card["name"] == "tiny" and card["steps"] == 8 and card["command"] == "pfitre train"
    assert card["config"] == json.loads(json.dumps(config.as_dict()))
    assert card["trained_on"]["missing_deg"] == list(config.instrument.missing_deg)
    assert card["trained_on"]["views"] == [16, 16] and card["trained_on"]["size"] == 32
    scores = {name: value for name, value in read_log(resumed)[-1].items() if name.startswith("validation")}
    assert card["training_scores"] == scores and len(scores) == 4


def test_folder_of_another_configuration_is_refused(config, train, stopped):
    before = files(stopped)
    with pytest.raises(ValueError, match="another configuration") as error:
        train(dataclasses.replace(config, seed=4), stopped)
    assert "use another output folder" in str(error.value)
    assert files(stopped) == before


def test_a_run_of_an_older_version_can_be_resumed(config, tmp_path):
    table = json.loads(json.dumps(config.as_dict()))
    del table["banks"], table["scenes"]["images"]
    (tmp_path / "config.json").write_text(json.dumps(table))
    run_folder.claim_folder(config, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads(json.dumps(config.as_dict()))


def test_training_uses_scenes_from_files(config, blank, tmp_path, monkeypatch):
    np.save(tmp_path / "cube.npy", np.indices((20, 20, 20))[2] // 10)
    scenes = SceneMixture(circuits=0, patterns=0, blobs=0, volumes=1)
    files = Banks(volumes=(str(tmp_path / "cube.npy"),), count=2, side=32)
    config = dataclasses.replace(config, scenes=scenes, banks=files)
    # Only the scenes are compared.
    monkeypatch.setattr(programs, "start_batch", lambda key, fine, **settings: fine)
    drawn = [
        programs.Programs(config, blank).start_batch(jax.random.key(4), 16, config.stage(0)) for _ in range(2)
    ]
    assert drawn[0].shape == (2, 64, 64) and float(drawn[0].max()) > 0.2
    check_equal(*drawn)


def test_a_non_finite_loss_stops_the_run_and_keeps_the_weights(config, blank, train, stopped, tmp_path):
    out = tmp_path / "diverged"
    shutil.copytree(stopped, out)
    state = last_state(config, blank, out)
    non_finite = jax.tree.map(lambda a: jnp.full_like(a, jnp.nan), state.params)
    with Checkpoints(out / "checkpoints") as checkpoints:
        checkpoints.save(4, dataclasses.replace(state, params=non_finite, step=state.step + 1))
    with pytest.raises(FloatingPointError, match="the loss at step 5 is nan"):
        train(config, out)
    with np.load(out / "bad_batch.npz") as saved:
        assert saved["sinograms"].shape[0] == saved["truth"].shape[0] == saved["x"].shape[0]
        assert np.isfinite(saved["sinograms"]).all() and saved["theta_rad"].size == saved["mask"].shape[0]
    assert (out / "tiny.npz").read_bytes() == (stopped / "tiny.npz").read_bytes()
    assert read_log(out) == read_log(stopped)
    assert int(last_state(config, blank, out).step) == 4


def test_a_run_can_be_resumed_from_its_weights(config, blank, train, stopped, tmp_path):
    weights = load(stopped / "tiny.npz")
    train(config, tmp_path, weights=weights, steps=STOP + 1)
    assert [record["step"] for record in read_log(tmp_path)] == [STOP + 1]
    assert load(tmp_path / "tiny.npz").info.card["steps"] == STOP + 1
    # One step, whose moments are new, moves a bias by 1.5 times the rate at most; a kernel's update, and
    # with it each of its elements, has a norm of 1.5 times the rate at most, but for its scale.
    rate = config.stage(STOP).rate
    last = last_state(config, blank, tmp_path)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), last.params.network, weights.params)
    most = lambda a: 1.5 * rate * max(1.0, 0.2 * max(a.size // a.shape[-1], a.shape[-1]) ** 0.5)  # noqa: E731
    assert max(jax.tree.leaves(moved)) > 0
    assert all(jax.tree.leaves(jax.tree.map(lambda m, a: m <= 1.01 * most(a), moved, last.params.network)))


def test_a_single_stage_can_be_trained_from_other_weights(config, train, stopped, tmp_path):
    last = dataclasses.replace(config.stages[0], steps=1, name="last")
    longer = dataclasses.replace(config, stages=(*config.stages, last))
    weights = load(stopped / "tiny.npz")
    weights = dataclasses.replace(weights, params=jax.tree.map(jnp.asarray, weights.params))
    train(longer, tmp_path, weights=weights, stage="last")
    assert not any(a.is_deleted() for a in jax.tree.leaves(weights.params))
    assert [record["step"] for record in read_log(tmp_path)] == [9]
    assert load(tmp_path / "tiny.npz").info.card["steps"] == 9


def test_a_single_stage_needs_weights_and_a_separate_folder(config, train, stopped, tmp_path):
    last = dataclasses.replace(config.stages[0], steps=1, name="last")
    longer = dataclasses.replace(config, stages=(*config.stages, last))
    with pytest.raises(ValueError, match="no weights for the stage 'last' to start from"):
        train(longer, tmp_path / "new", stage="last")
    weights = load(stopped / "tiny.npz")
    with pytest.raises(ValueError, match="steps is 8 and the stage begins after 8; expected more"):
        train(longer, tmp_path / "new", weights=weights, stage="last", steps=8)
    shutil.copytree(stopped, tmp_path / "old")
    with pytest.raises(ValueError, match="holds a run that is at step 3; expected one within the stage"):
        train(longer, tmp_path / "old", weights=weights, stage="last")


def test_weights_of_another_network_are_refused(config, train, tmp_path):
    other = NetworkPrior.create(dataclasses.replace(config.network, growth=8), jax.random.key(0))
    with pytest.raises(ValueError, match=r"weights .*network.*expected"):
        train(config, tmp_path, weights=other)


def test_a_start_share_mixes_the_weights_at_the_start_of_the_stage_into_the_prior(
    config, blank, train, tmp_path
):
    stages = (
        dataclasses.replace(config.stages[0], steps=4),
        dataclasses.replace(config.stages[0], steps=2, start_share=0.25),
        dataclasses.replace(config.stages[0], steps=2),
    )
    config, out = dataclasses.replace(config, stages=stages), tmp_path / "run"
    train(config, out, steps=4)
    start = last_state(config, blank, out).average.network
    check_equal(load(out / "tiny.npz").params, start)
    train(config, out, steps=7)
    train(config, out)
    end = last_state(config, blank, out).average.network
    assert max(jax.tree.leaves(jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), start, end))) > 1e-3
    jax.tree.map(
        lambda mixed, a, b: np.testing.assert_allclose(mixed, 0.25 * a + 0.75 * b, atol=1e-6),
        load(out / "tiny.npz").params,
        start,
        end,
    )
    shutil.copytree(out, tmp_path / "copy")
    (tmp_path / "copy" / "start.npz").unlink()
    longer = dataclasses.replace(config, stages=(*stages[:2], dataclasses.replace(stages[2], steps=3)))
    with pytest.raises(ValueError, match=r"start\.npz does not exist; expected the weights after 4 steps"):
        train(longer, tmp_path / "copy")
