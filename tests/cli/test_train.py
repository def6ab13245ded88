"""Tests of ``pfitre train``."""

import re
import sys

import pytest
import typer
from pfitre_command import pfitre

from pfitre_jax.cli import app
from pfitre_jax.training.config_file import CONFIGS


def test_help_names_every_shipped_configuration():
    parameters = typer.main.get_command(app).commands["train"].params
    help_text = next(p.help for p in parameters if p.name == "config")
    assert {path.stem for path in CONFIGS.glob("*.toml")} == set(
        re.findall(r"\w+", help_text.split(":")[1].split(" or ")[0])
    )


def test_missing_scene_files_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("PFITRE_DATA", str(tmp_path / "data"))
    done = pfitre("train", "--config", "general", "--out", tmp_path / "run")
    assert done.exit_code == 2 and not (tmp_path / "run").exists()
    assert f"in {tmp_path}/data; set PFITRE_DATA" in done.stderr and len(done.stderr.splitlines()) == 1


def test_artifacts_of_rows_are_refused_before_anything_is_written(tmp_path):
    (tmp_path / "mine.toml").write_text("[instrument]\nroll = [0.0, 2.0]\n")
    done = pfitre("train", "--config", tmp_path / "mine.toml", "--out", tmp_path / "run")
    assert done.exit_code == 2 and "roll need slices" in done.stderr and not (tmp_path / "run").exists()
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["train", "simulate"])
def test_layouts_without_gdstk_are_refused_before_anything_is_written(tmp_path, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "gdstk", None)
    (tmp_path / "chip.gds").write_bytes(b"")
    (tmp_path / "mine.toml").write_text(
        f'[scenes]\nlayouts = 1.0\n[banks]\nlayouts = ["{tmp_path}/chip.gds"]\n'
    )
    scene = ("--scene", "layouts") if command == "simulate" else ()
    done = pfitre(command, "--config", tmp_path / "mine.toml", *scene, "--out", tmp_path / "new.h5")
    assert done.exit_code == 2 and "pip install '.[layouts]'" in done.stderr
    assert not (tmp_path / "new.h5").exists() and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [("[network]\nblocks = 1", "the weights belong to the network"), (None, "add a stage")],
    ids=["another network", "all steps made"],
)
def test_weights_of_another_network_are_refused_before_anything_is_written(text, message, tmp_path):
    config, out = tmp_path / "mine.toml", tmp_path / "run"
    config.write_text(text or "")
    named = "circuits" if text is None else config
    done = pfitre("train", "--config", named, "--weights", "circuits", "--out", out)
    assert done.exit_code == 2 and message in done.output and len(done.output.strip().splitlines()) == 1
    assert not out.exists()


def test_an_unknown_stage_is_refused(tmp_path):
    done = pfitre("train", "--config", "circuits", "--stage", "rolled", "--out", tmp_path / "run")
    assert done.exit_code == 2 and not (tmp_path / "run").exists()
    assert "circuits has no stage 'rolled'; expected one of its stages: unrolled" in done.output
