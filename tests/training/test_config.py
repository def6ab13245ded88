from __future__ import annotations

import dataclasses
import json
import sys

import pytest

from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.files import pretrained
from pfitre_jax.training.config import Banks, Pool, Report, Stage, TrainingConfig
from pfitre_jax.training.config_file import CONFIGS, load_config, structure
from pfitre_jax.training.losses import LossWeights
from pfitre_jax.twin.instrument import Instrument
from pfitre_jax.twin.scenes.mixture import SceneMixture


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


def test_missing_values_have_defaults(written):
    text = """
    name = "mine"
    seed = 7
    [network]
    channels = [4, 4, 8]
    [pairs]
    rho = [1, 0.5]
    [pool]
    views = [12]
    [optimisation]
    clip = 1
    [[stages]]
    steps = 10
    [[stages]]
    rate = 1
    """
    config = load_config(written(text))
    default = TrainingConfig()
    expected = dataclasses.replace(
        default,
        name="mine",
        seed=7,
        network=UNetConfig(channels=(4, 4, 8)),
        pairs=dataclasses.replace(default.pairs, rho=(1.0, 0.5)),
        pool=dataclasses.replace(default.pool, views=(12,)),
        optimisation=dataclasses.replace(default.optimisation, clip=1.0),
        stages=(Stage(steps=10), Stage(rate=1.0)),
    )
    assert config == expected
    # Integers are accepted where floats are expected.
    assert isinstance(config.stages[1].rate, float) and isinstance(config.pairs.rho[0], float)
    assert hash(config) == hash(expected)


def test_stage_is_selected_by_step():
    config = TrainingConfig(stages=(Stage(steps=3), Stage(steps=2, rate=0.1)))
    assert config.steps == 5
    assert [config.stage(step).steps for step in range(6)] == [3, 3, 3, 2, 2, 2]


def test_a_stage_inherits_unspecified_settings(written):
    text = """
    [instrument]
    shift = [0.1, 0.2]
    [losses]
    rms = 2
    [[stages]]
    steps = 3
    [[stages]]
    steps = 4
    [stages.instrument]
    noise = [0.02, 0.03]
    [stages.scenes]
    circuits = 0
    [stages.losses]
    l1 = 0
    """
    config = load_config(written(text))
    first, second = config.stage(0), config.stage(3)
    assert first.instrument == config.instrument and first.losses == config.losses
    assert first.scenes == config.scenes
    assert second.instrument == dataclasses.replace(config.instrument, noise=(0.02, 0.03))
    assert second.instrument.shift == (0.1, 0.2)
    assert second.scenes.circuits == 0 and second.losses == dataclasses.replace(config.losses, l1=0.0)
    assert second.losses.rms == 2.0


def test_loss_of_one_stage(written):
    text = """
    [network]
    compute_dtype = "bfloat16"
    turned = false
    [[stages]]
    [[stages]]
    [stages.losses]
    consistency = 0.2
    """
    config = load_config(written(text))
    assert config.network == UNetConfig(compute_dtype="bfloat16", turned=False)
    steps = config.stages[0].steps
    assert [config.stage(step).losses.consistency for step in (0, steps)] == [0.0, 0.2]


def test_empty_file_is_the_default(written):
    assert load_config(written("")) == TrainingConfig()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_configurations_load_by_name_and_by_path(path):
    config = load_config(path.stem)
    assert config == load_config(path) == load_config(str(path))
    assert config.name == path.stem
    json.dumps(config.as_dict())


def test_dictionary_reproduces_the_configuration(written):
    config = load_config("circuits")

    def table(name, values):
        lists = {k: v for k, v in values.items() if k == "stages"}
        simple = {
            k: v for k, v in values.items() if not isinstance(v, dict) and v is not None and k not in lists
        }
        lines = [f"[{name}]"] * bool(name) + [f"{k} = {json.dumps(v)}" for k, v in simple.items()]
        inside = f"{name.strip('[]')}." if name else ""
        nested = [table(inside + k, v) for k, v in values.items() if isinstance(v, dict)]
        nested += [table(f"[{k}]", v) for k, entries in lists.items() for v in entries]
        return "\n".join(lines + nested)

    assert load_config(written(table("", config.as_dict()))) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae = 'x'", "mine.toml: nmae: unknown; did you mean name?"),
        ("zebra = 1", "mine.toml: zebra: unknown; expected some of banks, instrument"),
        (
            "[optimisation]\nlearning_rate = 1.0",
            "optimisation, learning_rate: unknown; expected some of clip",
        ),
        ("[networks]\nblocks = 1", "networks: unknown; did you mean network?"),
        (
            "[[stages]]\n[[stages]]\n[stages.instrument]\nshiftt = [0, 1]",
            "mine.toml: stages 2, instrument, shiftt: unknown; did you mean shift?",
        ),
        ("seed = '0'", "seed: '0'; expected a whole number"),
        ("seed = 1.5", "seed: 1.5; expected a whole number"),
        ("seed = true", "seed: True; expected a whole number"),
        (
            "seed = 1.5\nname = 3",
            "seed: 1.5; expected a whole number.*name: 3; expected a text|name: 3.*seed",
        ),
        ("name = 3", "name: 3; expected a text"),
        ("pool = 3", "pool: 3; expected a table"),
        ("[optimisation]\nclip = 'fast'", "optimisation, clip: 'fast'; expected a number"),
        ("[optimisation]\nclip = true", "optimisation, clip: True; expected a number"),
        ("[[stages]]\n[[stages]]\nrate = 'fast'", "stages 2, rate: 'fast'; expected a number"),
        ("[[stages]]\nstep = 3", "stages 1, step: unknown; did you mean steps?"),
        ("stages = 3", "stages: 3; expected a list"),
        ("stages = []", "mine.toml: stages is empty; expected at least 1 value"),
        ("stages = [3]", "stages 1: 3; expected a table"),
        ("[pool]\nviews = 51", "pool, views: 51; expected a list"),
        ("[pool]\nviews = [51.5]", "pool, views 1: 51.5; expected a whole number"),
        (
            "[instrument]\nnoise = ['low', 'high']",
            "instrument, noise 1: 'low'; expected a number.*noise 2: 'high'",
        ),
        ("[instrument]\nnoise = [0.01]", r"instrument, noise: \[0.01\]; expected 2 values"),
        ("[instrument]\ngain = [0.2, 0.1]", r"instrument: gain is \(0.2, 0.1\); expected 0 <= low <= high"),
        ("[pairs]\nrho = [0.1, 0.2, 0.3]", "pairs, rho: .*expected 2 values"),
        ("[pool]\nviews = []", "pool: views is empty; expected at least 1 value"),
        ("[network]\nblocks = -1", "network: .*blocks is -1"),
        ("[network]\nchannels = [4, 4]", "network, channels: .*expected 3 values"),
        ("[scenes]\ncircuits = -1", "scenes: .*weights"),
        ("[banks]\nimages = 'a.png'", "banks, images: 'a.png'; expected a list"),
        ("[banks]\nimages = [3]", "banks, images 1: 3; expected a text"),
        ("[banks]\nside = 4", "banks: count is 400 and side 4; expected at least 1 and 16"),
        ("[losses]\nrms = -1", "losses: .*rms.*expected finite weights of at least 0"),
        ("[losses]\nl1 = 0", "losses: .*expected one of l1, rms, ms_ssim to be positive"),
        (
            "[[stages]]\n[stages.losses]\nl2 = 1",
            "stages 1, losses, l2: unknown; expected some of",
        ),
        ("[[stages]]\nlosses = 3", "stages 1, losses: 3; expected a table"),
        ("name = ", "not TOML"),
    ],
)
def test_invalid_values_are_named(written, text, message):
    with pytest.raises(ValueError, match=message) as error:
        load_config(written(text))
    assert "\n" not in str(error.value)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with two pictures, one of them held out."""
    monkeypatch.setenv("PFITRE_DATA", str(tmp_path))
    (tmp_path / "kodak24").mkdir()
    for name in ("kodak24/20.png", "kodak24/21.png"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_bank_files_are_those_of_families_drawn_in_any_stage(written, data):
    text = """
    [banks]
    images = ["kodak24/2*.png"]
    layouts = ["nowhere.gds"]
    [[stages]]
    [[stages]]
    [stages.scenes]
    images = 0.5
    """
    config = load_config(written(text))
    assert config.banks == Banks(images=("kodak24/2*.png",), layouts=("nowhere.gds",))
    (data / "kodak24/21.png").rename(data / "kodak24/201.png")
    assert config.bank_files() == {"images": [data / "kodak24/20.png", data / "kodak24/201.png"]}
    # Files of families that no stage draws are not required.
    assert dataclasses.replace(config, stages=(Stage(),)).bank_files() == {}


@pytest.mark.parametrize(
    ("banks", "error", "message"),
    [
        (Banks(), ValueError, r"images have a weight and no files; expected files in \[banks\], images ="),
        (Banks(images=("kodak24/21.png",)), ValueError, "kodak24/21.png: held out"),
        (Banks(images=("kodak24",)), ValueError, "kodak24/21.png: held out"),
        (Banks(images=("sky/*.png",)), FileNotFoundError, r"sky/\*.png in .*; set PFITRE_DATA"),
    ],
)
def test_missing_and_held_out_files_are_refused(data, banks, error, message):
    config = TrainingConfig(scenes=SceneMixture(images=1), banks=banks)
    with pytest.raises(error, match=message):
        config.bank_files()


def test_gdsii_without_gdstk_is_refused(data, monkeypatch):
    (data / "chip.gds").write_bytes(b"")
    config = TrainingConfig(scenes=SceneMixture(layouts=1), banks=Banks(layouts=("chip.gds",)))
    config.check()
    monkeypatch.setitem(sys.modules, "gdstk", None)
    with pytest.raises(ValueError, match=r"chip.gds is GDSII and gdstk is not installed.*\[layouts\]"):
        config.check()


def test_artifacts_of_rows_are_refused_in_any_stage():
    clean, rolled = Instrument(), Instrument(roll=(0.0, 2.0))
    TrainingConfig(instrument=rolled, stages=(Stage(instrument=clean),)).check()
    for config in (
        TrainingConfig(instrument=rolled),
        TrainingConfig(stages=(Stage(), Stage(instrument=rolled))),
    ):
        with pytest.raises(ValueError, match="roll need slices that are rows of one volume"):
            config.check()


def test_files_of_the_shipped_configurations_exist(data_dir, monkeypatch):
    monkeypatch.setenv("PFITRE_DATA", str(data_dir))
    paths = load_config("general").bank_files()
    assert set(paths) == {"layouts", "images", "volumes"}
    assert load_config("circuits").bank_files() == {"layouts": paths["layouts"]}
    # Seven layouts; Kodak 01 to 20 and three battery images; three volumes.
    assert [len(paths[name]) for name in ("layouts", "images", "volumes")] == [7, 23, 3]


def test_missing_keys_of_an_older_configuration_have_defaults():
    config = TrainingConfig(stages=(Stage(steps=3), Stage(scenes=SceneMixture(circuits=1))))
    new = json.loads(json.dumps(config.as_dict()))
    old = json.loads(json.dumps(new))
    del (
        old["banks"],
        old["scenes"]["materials"],
        old["stages"][1]["scenes"]["images"],
        old["stages"][0]["losses"],
    )
    assert structure(old, "config.json") == structure(new, "config.json") == config
    old["scenes"]["circuits"] = 0.1
    assert structure(old, "config.json") != config
    # Keys of older versions.
    new["scenes"]["folded"] = 0.0
    with pytest.raises(ValueError, match=r"config.json: scenes, folded: unknown"):
        structure(new, "config.json")
    assert structure(new, "config.json", unknown_keys=True) == config


def test_other_kinds_of_file_are_refused(tmp_path):
    path = tmp_path / "image.toml"
    path.write_bytes(b"\x93NUMPY\xff\xfe")
    with pytest.raises(ValueError, match="not TOML"):
        load_config(path)


@pytest.mark.parametrize("name", ["nothing", "nothing.toml", "."])
def test_missing_file_names_the_shipped_ones(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"expected a TOML file, or one of: .*circuits"):
        load_config(name)


def test_a_folder_of_that_name_does_not_hide_the_shipped_configuration(tmp_path, monkeypatch):
    """``--config circuits --out circuits`` resumes."""
    shipped = load_config("circuits")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circuits").mkdir()
    assert load_config("circuits") == shipped


def test_a_configuration_can_continue_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write = lambda name, text: (tmp_path / name).write_text(text)  # noqa: E731
    write("first.toml", 'name = "first"\n[pool]\nscans = 3\nviews = [20]\n[[stages]]\nsteps = 7\n')
    write("second.toml", 'name = "second"\nafter = "first.toml"\n[pool]\nscans = 5\n[[stages]]\nsteps = 2\n')
    config = load_config("second.toml")
    assert config.name == "second" and [stage.steps for stage in config.stages] == [7, 2]
    assert config.pool.scans == 5 and config.pool.views == (20,)
    # The path is relative to the file that names it, wherever the command is started.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_config(tmp_path / "second.toml") == config


@pytest.mark.parametrize(("after", "message"), [("second", "no training"), ("second.toml", "itself")])
def test_configurations_that_continue_each_other_are_refused(tmp_path, after, message):
    (tmp_path / "first.toml").write_text(f'after = "{after}"\n')
    (tmp_path / "second.toml").write_text('after = "first.toml"\n')
    for file_name in ("second.toml", "first.toml"):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            load_config(tmp_path / file_name)


def test_a_file_with_the_name_of_a_shipped_configuration_can_continue_it(tmp_path):
    (tmp_path / "circuits.toml").write_text('after = "circuits"\nseed = 7\n')
    shipped = load_config("circuits")
    assert load_config(tmp_path / "circuits.toml") == dataclasses.replace(shipped, seed=7)


def test_general_continues_circuits():
    general, circuits = load_config("general"), load_config("circuits")
    assert dataclasses.replace(general.network, expected_error=False) == circuits.network
    assert general.stages[: len(circuits.stages)] == circuits.stages
    assert general.stage(general.steps).scenes.images > 0 == general.stage(0).scenes.images
    # The stage inherits unspecified weights from the last stage of circuits.
    assert sum(dataclasses.astuple(general.stages[-1].scenes)) == pytest.approx(1)


@pytest.mark.parametrize("name", ["circuits", "general"])
def test_a_shipped_prior_was_trained_for_all_steps_of_its_configuration(name):
    """Additional stages need a separate file that names this configuration as ``after``."""
    assert pretrained(name).info.card["steps"] == load_config(name).steps


def test_a_stage_may_have_its_own_views_and_prior_strength():
    config = structure({"stages": [{}, {"rho": [1e-3, 1e-2], "rho_jitter": 3, "views": [7, 9]}]}, "the test")
    first, second = config.stages
    assert config.stage_pairs(first) == config.pairs and config.stage_pool(first) == config.pool
    assert config.stage_pairs(second) == dataclasses.replace(config.pairs, rho=(1e-3, 1e-2), rho_jitter=3.0)
    assert config.stage_pool(second) == dataclasses.replace(config.pool, views=(7, 9))


def test_a_stage_is_selected_by_its_name():
    config = TrainingConfig(stages=(Stage(steps=3), Stage(steps=4, name="b", unrolled=2), Stage(name="c")))
    assert config.span("b") == (3, 7)
    for name in ("", "d"):
        with pytest.raises(ValueError, match=rf"no stage {name!r}; expected one of its stages: b, c"):
            config.span(name)
    with pytest.raises(ValueError, match=r"coarse_share is 1\.5; expected 0 to 1"):
        Stage(coarse_share=1.5)
    with pytest.raises(ValueError, match="does not start from a coarse result"):
        Stage(unrolled=3, learned="rho", coarse_share=0.5)
    with pytest.raises(ValueError, match="the loss expected_error has a weight"):
        TrainingConfig(losses=LossWeights(expected_error=0.1)).check()


@pytest.mark.parametrize(
    ("table", "name"),
    [(Report, "log_every"), (Report, "validation"), (Pool, "scans"), (Stage, "steps"), (Stage, "unrolled")],
)
def test_numbers_of_which_at_least_one_is_needed(table, name):
    with pytest.raises(ValueError, match=f"{name} is 0; expected at least 1"):
        table(**{name: 0})
