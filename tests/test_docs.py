"""The documentation builds, its examples run, and its language is plain."""

from __future__ import annotations

import dataclasses
import os
import pkgutil
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import typing
import zlib
from importlib import metadata
from pathlib import Path

import documented
import finished_runs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import typer
from documented import DOCS, ROOT
from matplotlib.path import Path as Outline

import pfitre_jax as pf
from pfitre_jax.cli import app
from pfitre_jax.reconstruction import methods
from pfitre_jax.training.config import Stage, TrainingConfig
from pfitre_jax.training.config_file import load_config

PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
#: Files whose words are checked.
MODULES = sorted(
    path
    for folder in ("pfitre_jax", "experiments", "benchmarks", "docs")
    for pattern in ("*.py", "*.pyi", "*.toml")
    for path in (ROOT / folder).rglob(pattern)
)
WEDGE = pf.Wedge(np.deg2rad(70.0), np.deg2rad(90.0))


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory):
    """The built site; a dead link fails."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_every_public_name_has_an_entry(site):
    lines = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    entries = {line.split()[0] for line in zlib.decompress(lines).decode().splitlines()}
    missing = {f"pfitre_jax.{name}" for name in pf.__all__} - entries
    assert not missing


def test_the_layout_table_lists_the_layers_in_their_order():
    text = (DOCS / "explanation/design.md").read_text()
    table = text[text.index("## Layout") : text.index("The table is in the order of the layers")]
    cells = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    names = [re.split(r"[./]", name)[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    layers = (ROOT / "tests/test_layers.py").read_text()
    [listed] = re.findall(r"^LAYERS = \[(.*?)\]", layers, re.MULTILINE | re.DOTALL)
    assert names == re.findall(r'"(\w+)"', listed)


def test_every_experiment_is_listed():
    names = {path.parent.name for path in ROOT.glob("experiments/*/__main__.py")}
    for page in (ROOT / "README.md", DOCS / "measurements/index.md"):
        listed = set(re.findall(r"`(\w+)`", page.read_text()))
        assert names <= listed, f"{page.name} lacks {sorted(names - listed)}"


def test_every_key_of_a_configuration_is_described():
    hooks = runpy.run_path(str(DOCS / "hooks.py"))
    hints = typing.get_type_hints(TrainingConfig)
    tables = {name: cls for name, cls in hints.items() if dataclasses.is_dataclass(cls)} | {"stages": Stage}
    for name, cls in tables.items():
        missing = {field.name for field in dataclasses.fields(cls)} - set(hooks["attributes"](cls))
        assert not missing, f"[{name}]: {sorted(missing)}"


def test_the_functions_that_a_projection_passes_exist():
    text = (DOCS / "explanation/design.md").read_text()
    section = text[text.index("## From the command line to the file") : text.index("## The projector")]
    rows = re.findall(r"^\| \d+ \| (.*?) \|", section, re.MULTILINE)
    assert len(rows) <= 12
    for name in re.findall(r"`([a-z_]+(?:\.[A-Za-z_]+){2,})`", " ".join(rows)):
        value = pkgutil.resolve_name(f"pfitre_jax.{name}")
        assert callable(value), name


def test_pages_named_in_the_code_exist():
    files = [*MODULES, *ROOT.glob("experiments/**/*.md"), *ROOT.glob("notebooks/*")]
    named = {
        (path.name, page)
        for path in files
        if path.is_file()
        for page in re.findall(r"\bdocs/[a-z_/-]{1,60}\.md", path.read_text())
    }
    missing = sorted((name, page) for name, page in named if not (ROOT / page).exists())
    assert len(named) > 10 and not missing


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    missing = [page for page in pages if f"- {page}\n" not in navigation and page != "index.md"]
    assert not missing


def test_the_command_reference_lists_every_option(site):
    text = (site / "reference/cli/index.html").read_text()
    for name, command in typer.main.get_command(app).commands.items():
        assert f"pfitre {name}" in text
        for option in command.params:
            assert option.opts[0].startswith("--") is False or f"<code>{option.opts[0]}" in text, option.opts


def test_pages_load_nothing_from_other_sites_and_show_no_markup(site):
    pages = [page.read_text() for page in site.rglob("*.html")]
    assert len(pages) >= 45
    for page in pages:
        assert not re.search(r'<(script|link|img)[^>]*(src|href)="(https?:)?//', page)
        text = re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)
        assert not re.search(r":(func|class|meth|mod|data|attr):", text)


def test_links_of_the_readme_exist():
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / "README.md").read_text())
    local = [target for target in targets if "://" not in target]
    assert local and all((ROOT / target).exists() for target in local), local


@pytest.mark.parametrize("page", ["add/operator.md", "add/prior.md", "explanation/differentiation.md"])
def test_examples_run(page):
    names = documented.run(page)
    check = {
        "add/operator.md": modelling_the_blur_reduces_the_error,
        "add/prior.md": the_sparse_prior_recovers_the_pixels,
        "explanation/differentiation.md": the_gradient_points_to_the_center,
    }
    check[page](names)


def modelling_the_blur_reduces_the_error(names):
    assert names["gap"] < 1e-6
    assert names["with_blur"] < 0.9 * names["without_blur"]


def the_sparse_prior_recovers_the_pixels(names):
    error = lambda solution: jnp.linalg.norm(solution.value - names["image"])  # noqa: E731
    assert error(names["sparse"]) < 0.2 * error(names["least_squares"])


def the_gradient_points_to_the_center(names):
    # Descent leads to the true center from both sides.
    assert names["too_large"] > 0 > names["too_small"]


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert pf.__version__ == metadata.version("pfitre_jax")
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version


#: Phrases that the style of this project excludes, as regular expressions.
EXCLUDED = (
    r"\btold\b",
    r"\bmended\b",
    r"\banew\b",
    r"\bgo(es|ne|ing)? on with\b",
    r"\bgone on\b",
    r"\blook(s|ed)? for\b",
    r"\bin the place of\b",
    r"\bof which\b",
    r"\bnobody trained on\b",
    r"\bmade ready\b",
    r"\bno end of\b",
    r"\bmisfits?\b",
    r"\bviews? left out\b",
    r"\bimperfections?\b",
    r"\bwhat the data say\b",
)


def excluded_phrases(text: str) -> list[str]:
    """The excluded phrases in a text."""
    return [match[0] for phrase in EXCLUDED for match in re.finditer(phrase, text, re.IGNORECASE)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_are_in_plain_english(page):
    assert not excluded_phrases(page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_sentences_are_short(page):
    """A sentence has at most 36 words; code, tables and headings are not sentences."""
    text = re.sub(r"^```.*?^```", "\n\n", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(\||#|!\[|:::).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"^ *([*-]|\d+\.) ", "\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "code", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    sentences = [
        s for paragraph in re.split(r"\n\s*\n", text) for s in re.split(r"(?<=[.:;!?])[*)]*\s", paragraph)
    ]
    assert not [sentence for sentence in sentences if len(sentence.split()) > 36]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_package_is_in_plain_english(path):
    assert not excluded_phrases(path.read_text())


def test_excluded_phrases_are_detected():
    assert excluded_phrases("Scans nobody trained on,\nmended anew.") == [
        "mended",
        "anew",
        "nobody trained on",
    ]
    assert not excluded_phrases("The residual of the retold story.")


#: Checks of the extension that a page of ``docs/add`` adds to a copy of the package, after its example.
EXTENSIONS = {
    "add/solver.md": """
import numpy as np
residual = np.asarray(solution.stats["residual"])
# The residual falls in every step.
assert np.all(np.diff(residual) < 0) and residual[-1] < 0.2
assert result.method == "landweber" and result.residual[0] < 0.2
""",
    "add/scene.md": """
import numpy as np
image, mixed = np.asarray(image), np.asarray(mixed)
assert image.shape == (64, 64) and 0 <= image.min() and 0.3 < image.max() <= 1
assert SceneMixture().shells == 0 and mixed.shape == (2, 64, 64) and np.abs(mixed[0] - mixed[1]).max() > 0.1
""",
    "add/artifact.md": """
import numpy as np
from pfitre_jax.evaluation.cells import artifact_strengths
from pfitre_jax.twin.instrument import Instrument
assert artifact_strengths()["saturation"] == 0.1
assert "saturation: " in Instrument.__doc__ and Instrument().saturation == (0.0, 0.0)
top = clean.projections.max()
np.testing.assert_allclose(saturated.projections, np.minimum(clean.projections, 0.7 * top), rtol=1e-5)
try:
    Instrument(saturation=(0.0, 2.0))
except ValueError as error:
    assert "saturation goes up to 2; expected at most 1" in str(error)
else:
    raise AssertionError("a share above 1 was accepted")
""",
    "add/network.md": """
import numpy as np
from pfitre_jax.priors import files
files.save("shallow.npz", prior)
loaded = files.load("shallow.npz")
assert loaded.config == prior.config
# Its update is 0 at the beginning: the prior is the identity.
identity = loaded.denoise(image, correction=image, wedge=pf.Wedge(1.0, 0.5), rho=0.01)
np.testing.assert_array_equal(identity, image)
assert solution.stats["residual"][-1] < 0.1
""",
    "add/metric.md": """
assert error == 0.5
""",
    "add/file_format.md": """
assert scan.projections.shape == (10, 2, 16) and abs(scan.theta_rad[-1] - np.deg2rad(171)) < 1e-6
""",
}


def extend(package: Path, page: str) -> list[str]:
    """Applies the changes that a page shows to a copy of the package, and returns the files."""
    text = (DOCS / page).read_text()
    for name, code in documented.examples(page).items():
        if name.startswith("pfitre_jax/"):
            assert not (package / name).exists(), f"{name} exists; correct docs/{page}"
            (package / name).write_text(code)
    for name, diff in re.findall(r'^```diff title="([^"]+)"\n(.*?)^```', text, re.MULTILINE | re.DOTALL):
        file = package / name
        content = file.read_text() if file.exists() else ""
        for hunk in diff.split("@@\n"):
            before, after = (
                "".join(line[1:] or "\n" for line in hunk.splitlines(keepends=True) if line[0] in kept)
                for kept in (" -", " +")
            )
            if before:
                assert content.count(before) == 1, f"{name} has changed; correct docs/{page}:\n{before}"
                content = content.replace(before, after)
            else:
                assert not file.exists(), f"{name} exists; correct docs/{page}"
                content = after
        file.write_text(content)
    return re.findall(r'^```\w+ title="(pfitre_jax/[^"]+)"', text, re.MULTILINE)


def test_the_documented_extensions_are_the_whole_change(tmp_path):
    """The changes of every page, applied to a copy of the package, work and touch at most two files."""
    shutil.copytree(
        ROOT / "pfitre_jax", tmp_path / "pfitre_jax", ignore=shutil.ignore_patterns("weights", "*.pyc")
    )
    code = []
    for page, check in EXTENSIONS.items():
        files = extend(tmp_path, page)
        assert 1 <= len(files) <= 2, f"docs/{page} changes {files}"
        code += [documented.examples(page)["use it"], check]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_documented_configuration_can_be_trained(tmp_path):
    [text] = re.findall(
        r'^```toml title="mine.toml"\n(.*?)^```', (DOCS / "tutorials/small_prior.md").read_text(), re.M | re.S
    )
    path = tmp_path / "mine.toml"
    path.write_text(text)
    config = load_config(path)
    config.check()
    assert config.name == path.stem and len(config.stages) == 2


def test_the_table_of_methods_is_complete():
    listed = re.findall(r"^\| `(\w[\w-]*)` \|", (DOCS / "reference/methods.md").read_text(), re.MULTILINE)
    assert listed == list(methods.METHODS)


def test_the_figure_of_conventions_agrees_with_the_projector():
    drawn = runpy.run_path(str(DOCS / "figures/conventions.py"))
    figure = drawn["draw"]()
    artist = {a.get_gid(): a for a in figure.findobj(lambda a: a.get_gid() is not None)}
    theta, center, view = drawn["THETA_RAD"], drawn["CENTER"], drawn["VIEW"]
    image = jnp.zeros((drawn["NY"], drawn["NX"])).at[drawn["I"], drawn["J"]].set(1.0)
    columns = jnp.arange(drawn["COLUMNS"], dtype=image.dtype)

    @jax.jit
    def middle(offset):
        """Center of mass of the pixel's projection in each view; offsets average out the effect of bins."""
        geometry = pf.ParallelGeometry.create(theta, drawn["COLUMNS"], center)
        moved = dataclasses.replace(geometry, center=geometry.center + offset)
        sinogram = pf.Projector(moved, image.shape)(image)
        return sinogram @ columns / jnp.sum(sinogram, axis=1) - offset

    bins = np.mean([middle(offset) for offset in np.linspace(-0.5, 0.5, 16, endpoint=False)], axis=0)
    # The track: where the projector puts the pixel in each view.
    np.testing.assert_allclose(artist["track"].get_xdata(), bins, atol=0.02)
    np.testing.assert_array_equal(artist["track"].get_ydata(), np.arange(len(theta)))
    # The drawn bin lies that far along t, and on the pixel's ray.
    across = np.array([np.cos(theta[view]), np.sin(theta[view])])
    (pixel,), (hit,) = artist["pixel"].get_xydata(), artist["hit"].get_xydata()
    np.testing.assert_allclose(hit @ across, bins[view] - center, atol=0.02)
    np.testing.assert_allclose((hit - pixel) @ across, 0, atol=1e-9)


def test_the_drawn_wedge_is_the_empty_part_of_the_spectrum():
    drawn = runpy.run_path(str(DOCS / "figures/wedge.py"))
    n = 64
    theta = WEDGE.center_rad + WEDGE.width_rad / 2 + (np.arange(90) + 0.5) / 90 * (np.pi - WEDGE.width_rad)
    A = pf.Projector(pf.ParallelGeometry.create(theta, n))
    # Zero at the edges, where the picture would wrap around.
    near = np.exp(-np.sum((np.mgrid[:n, :n] - (n - 1) / 2) ** 2, axis=0) / (n / 6) ** 2)
    noise = np.random.default_rng(0).standard_normal(A.sinogram_shape)
    image = near * np.asarray(jax.jit(lambda y: A.T(y))(jnp.asarray(noise, jnp.float32)))
    power = np.abs(drawn["spectrum"](image)) ** 2
    side = (np.arange(n) - n // 2) / n
    # y points up, rows go down.
    frequencies = np.stack(np.meshgrid(side, -side), axis=-1).reshape(-1, 2)
    # Near 0 the cones are narrower than a pixel; the finest frequencies wrap around.
    halves = [Outline(4 * half).contains_points(frequencies) for half in drawn["cones"](WEDGE)]
    inside = np.any(halves, axis=0).reshape(n, n)
    size = np.linalg.norm(frequencies, axis=1).reshape(n, n)
    band = (size > 0.12) & (size < 0.35)
    share = lambda cone: power[cone & band].mean() / power[~cone & band].mean()  # noqa: E731
    assert share(inside) < 0.1
    assert share(inside[:, ::-1]) > 0.5, "the mirrored cone is empty as well: the test cannot fail"


@pytest.mark.parametrize("known", [False, True])
def test_the_first_figure_shows_the_interval_beside_the_slice_where_there_is_one(known):
    drawn = runpy.run_path(str(DOCS / "figures/sample.py"))
    result = finished_runs.make_result()
    learned = finished_runs.with_interval(result, 0.3) if known else result
    truth = result.volume[0, 2:-2, 2:-2] + 0.1
    figure = drawn["draw"](truth, result, learned)
    images = {axis.get_title(loc="left"): axis.get_images() for axis in figure.axes if axis.get_images()}
    values = {title: np.asarray(shown[0].get_array()) for title, shown in images.items()}
    assert sum(title.startswith("shaded") for title in values) == 1 and len(values) == (6 if known else 4)
    if known:
        stated, error = (images[name][0] for name in list(images)[-2:])
        np.testing.assert_allclose(stated.get_array(), 0.3, rtol=1e-5)
        np.testing.assert_allclose(error.get_array(), 0.1, rtol=1e-4)
        assert stated.get_clim() == error.get_clim()
