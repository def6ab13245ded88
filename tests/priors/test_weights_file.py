"""Weights files: exact round trip, and messages for invalid files."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import Wedge
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors import files
from pfitre_jax.priors.interval_table import IntervalCell, IntervalTable, tables_from_record
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.trust import reference_statistics

SMALL = UNetConfig(channels=(4, 6, 8), blocks=1, dilations=(1, 2), growth=4, embedding=8)


def random_prior(card: dict | None = None, config: UNetConfig = SMALL) -> NetworkPrior:
    prior, generator = NetworkPrior.create(config, jax.random.key(0), card), np.random.default_rng(0)
    return jax.tree.map(lambda a: a + 0.2 * generator.standard_normal(a.shape, np.float32), prior)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "mine.npz"
    return path, files.save(path, random_prior(card={"name": "mine", "trained_on": {"views": (32, 80)}}))


def test_prior_is_loaded_bit_for_bit(saved):
    path, prior = saved
    loaded = files.load(path)
    assert loaded.config == SMALL
    assert loaded.card == prior.card
    assert loaded.card["trained_on"] == {"views": [32, 80]} and loaded.card["parameters"] > 0
    assert jax.tree.structure(loaded) == jax.tree.structure(prior)
    jax.tree.map(np.testing.assert_array_equal, loaded, prior)
    assert [p.name for p in path.parent.iterdir()] == ["mine.npz"]


def test_a_prior_with_lower_resolutions_and_the_expected_error_is_loaded_bit_for_bit(tmp_path):
    config = dataclasses.replace(SMALL, deep=(5, 6), unshuffled=True, expected_error=True)
    prior = files.save(tmp_path / "other.npz", random_prior(config=config))
    loaded = files.load(tmp_path / "other.npz")
    assert loaded.config == config and loaded.has_expected_error
    jax.tree.map(np.testing.assert_array_equal, loaded, prior)


def test_an_unrolled_prior_is_loaded_with_its_rho(tmp_path):
    rho = jnp.array([0.02, 0.01, 0.005])
    networks = jax.tree.map(lambda a: jnp.stack([a, 2 * a, 3 * a]), random_prior(card={"name": "own"}))
    prior = files.save(tmp_path / "own.npz", UnrolledPrior(networks, rho))
    loaded = files.load(tmp_path / "own.npz")
    assert isinstance(loaded, UnrolledPrior) and loaded.info.iterations == 3
    assert loaded.info.card == prior.info.card
    assert loaded.info.card["rho"] == np.asarray(rho).tolist()
    jax.tree.map(np.testing.assert_array_equal, loaded, prior)
    rewrite(tmp_path / "own.npz", whole={"rho": np.asarray(rho) + 1})
    with pytest.raises(ValueError, match="do not match their hash"):
        files.load(tmp_path / "own.npz")
    rewrite(tmp_path / "own.npz", whole={"rho": np.array(0.02)})
    with pytest.raises(ValueError, match=r"rho is float64 \(\); expected floats, one for each iteration"):
        files.load(tmp_path / "own.npz")
    rewrite(tmp_path / "own.npz", whole={"rho": np.asarray(rho[:2])})
    with pytest.raises(ValueError, match="expected floats of shape \\(2, "):
        files.load(tmp_path / "own.npz")


def test_a_failed_save_leaves_the_old_file(saved, monkeypatch):
    path, prior = saved
    before = path.read_bytes()

    def full_disk(file, **arrays):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="no space"):
        files.save(path, prior)
    with pytest.raises(ValueError, match=r"ends in \.npz"):
        files.save(path.with_suffix(".h5"), prior)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


def rewrite(path, **changes):
    """Replace parameters in the file, or remove them for ``None``; ``card`` changes entries of the card, and
    ``whole`` is of other arrays."""
    with np.load(path) as content:
        entries = dict(content)
    card = json.loads(entries["card"].item()) | changes.pop("card", {})
    entries |= {"card": np.array(json.dumps(card))} | changes.pop("whole", {})
    entries |= {f"params/{k}": v for k, v in changes.items()}
    np.savez(path, **{name: value for name, value in entries.items() if value is not None})


BIAS = "leave/bias"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_text("not weights"), "is not an .npz file"),
        (lambda path: path.write_bytes(b""), "is not an .npz file"),
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "is not an .npz file"),
        (lambda path: np.savez(path, a=np.zeros(3)), "has no readable model card"),
        (lambda path: np.savez(path, card=np.array("{}")), "has no readable model card"),
        (lambda path: np.savez(path, card=np.array([object()])), "cannot be read"),
        (lambda path: rewrite(path, card={"format": 99}), "has format 99"),
        (lambda path: rewrite(path, card={"operator": "strip-7"}), "trained with operator 'strip-7'"),
        (lambda path: rewrite(path, card={"network": {"width": 3}}), "network that cannot be built"),
        (lambda path: rewrite(path, **{BIAS: None}), "lacks the arrays .*leave/bias"),
        (lambda path: rewrite(path, more=np.zeros(2)), "unknown arrays .*params/more"),
        (lambda path: rewrite(path, **{BIAS: np.zeros((2,), np.float32)}), r"leave/bias is float32 \(2,\)"),
        (lambda path: rewrite(path, **{BIAS: np.array([1])}), "leave/bias is int64"),
        (lambda path: rewrite(path, **{BIAS: np.array([9], np.float32)}), "do not match their hash"),
    ],
)
def test_invalid_files_are_refused_with_the_reason(saved, damage, message):
    path, _ = saved
    damage(path)
    with pytest.raises(ValueError, match=message):
        files.load(path)


def test_other_formats_and_missing_files_are_refused(tmp_path):
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    (tmp_path / "a.npz").write_bytes(array.getvalue())
    with pytest.raises(ValueError, match=r"is not an \.npz file"):
        files.load(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        files.load(tmp_path / "b.npz")


def test_pretrained_by_name_and_by_path(saved, tmp_path, monkeypatch):
    path, prior = saved
    shipped = tmp_path / "weights"
    shipped.mkdir()
    shutil.copy(path, shipped / "circuits.npz")
    monkeypatch.setattr(files, "_WEIGHTS", shipped)
    assert files.available() == ["circuits"]
    assert files.pretrained("circuits").info.card == files.pretrained(path).card == prior.card
    with pytest.raises(ValueError, match=r"no prior 'nonesuch'.*one of: circuits"):
        files.pretrained("nonesuch")


@pytest.mark.parametrize("name", files.available())
def test_shipped_priors_work_and_have_a_card(name):
    prior = files.pretrained(name)
    v = jax.random.uniform(jax.random.key(2), (21, 30))
    denoise = jax.jit(lambda v: prior.denoise(v, correction=0 * v, wedge=Wedge(1.9, 1.5), rho=0.01))
    assert denoise(v).shape == v.shape and np.all(np.isfinite(denoise(v)))
    beside = json.loads((files._WEIGHTS / f"{name}.json").read_text())
    assert beside.items() <= prior.card.items()
    assert (files._WEIGHTS / f"{name}.npz").stat().st_size < 10e6


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ("trained_on", "wedges", "the entry trained_on of the model card is 'wedges'; expected a table"),
        ("trained_on", {"views": "many"}, "trained_on.views .*'many'; expected two numbers"),
        ("trained_on", {"rho": [0.1, 0.01]}, "trained_on.rho .*expected two numbers in ascending order"),
        ("trained_on", {"missing_deg": [30, "x"]}, "trained_on.missing_deg"),
        ("trained_on", {"initial_iterations": "few"}, "trained_on.initial_iterations"),
        ("disagreement", [1, 2], r"disagreement .*\[1, 2\]; expected a table"),
        ("disagreement", {"limit": "low"}, "disagreement.limit"),
        ("likeness", "alike", "likeness"),
        ("likeness", {"images": [[1, 2], [3]]}, "likeness.images .*one line for each image"),
        ("scores", "good", "scores"),
        ("scores", {"gain": "high"}, "scores.gain"),
        ("scores", {"gain": {"mean": "x"}}, "scores.gain.mean"),
        ("config", "default", "config"),
        ("config", {"stages": "two"}, "config.stages"),
        ("steps", "all", "steps .*whole number"),
        ("name", ["a"], "name .*expected a text"),
        ("intervals", "wide", "intervals of the model card: it is 'wide'; expected a table for each kind"),
        ("intervals", {"bootstrap": {"level": 2}}, "intervals .*bootstrap: level is 2; expected"),
    ],
)
def test_text_where_a_table_belongs_is_refused_with_the_entry(tmp_path, entry, value, expected):
    path = tmp_path / "mine.npz"
    files.save(path, random_prior(card={"name": "mine"}))
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    card = json.loads(arrays["card"].item()) | {entry: value}
    np.savez(path, **(arrays | {"card": np.array(json.dumps(card))}))
    with pytest.raises(ValueError, match=f"mine.npz: the entry {expected.removeprefix('the entry ')}"):
        files.load(path)


@pytest.mark.parametrize("card", ["[]", '"text"', "3", "null", "{", '{"network": "unet", "format": 2}'])
def test_a_card_that_is_no_table_is_refused(tmp_path, card):
    path = tmp_path / "mine.npz"
    files.save(path, random_prior(card={"name": "mine"}))
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    np.savez(path, **(arrays | {"card": np.array(card)}))
    with pytest.raises(ValueError, match=r"mine\.npz has no readable model card"):
        files.load(path)


def test_a_table_of_intervals_is_written_into_the_card_and_beside_it(saved):
    path, prior = saved
    cell = IntervalCell((30.0, 90.0), (0.001, 0.1), 1.5, 40)
    files.save_intervals(path, "combined", IntervalTable(0.9, 20, (cell,)))
    table = IntervalTable(0.9, 0, (cell,), {"size": 96})
    written = files.save_intervals(path, "expected-error", table)
    assert written == [path, path.with_suffix(".json")]
    loaded = files.load(path)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, prior.params)
    assert loaded.card["sha256"] == prior.card["sha256"]
    tables = tables_from_record(loaded.card["intervals"])
    assert set(tables) == {"combined", "expected-error"} and tables["expected-error"] == table
    assert json.loads(path.with_suffix(".json").read_text()) == loaded.card
    with pytest.raises(ValueError, match="kind of scale is 'guess'; expected one of expected-error"):
        files.save_intervals(path, "guess", table)
    likeness = reference_statistics(np.random.default_rng(0).random((6, 4)))
    files.save_intervals(path, "combined", table, likeness)
    card = files.load(path).card
    assert card["likeness"] == likeness and set(card["intervals"]) == {"combined", "expected-error"}
