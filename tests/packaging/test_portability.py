"""Windows: what can be checked without one.

The code is searched for calls that Windows does not have or understands differently, and the commands run
under the rules of ``windows_rules``.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import windows_rules
from analytic import CENTER, THETA_DEG, disc_stack

import pfitre_jax

PACKAGE = Path(pfitre_jax.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
#: Objects whose ``open`` is not that of a text file.
OTHER_OPEN = ("os", "Image", "fabio", "archive", "olefile", "mrcfile", "self", "zipfile")
#: Packages that are imported before the rules hold, because only this package is under test.
OTHERS = """
import asyncio, concurrent.futures, csv, ctypes, multiprocessing, shutil, subprocess, tempfile, zipfile
import cattrs, flax.nnx, h5py, jax, jinja2, jaxtyping, matplotlib.pyplot, mrcfile, numpy, optax, rich.progress
import rich.traceback, scipy.ndimage, scipy.optimize, scipy.signal, scipy.special, tifffile, typer, zarr
import typer.testing, zarr.codecs, jax.experimental.multihost_utils, orbax.checkpoint
"""
RULES = """
import sys
sys.path.insert(0, {helpers!r})
import windows_rules
windows_rules.apply()
windows_rules.refuse_default_encodings()
"""
IMPORTS = """
import importlib, pathlib, pfitre_jax
root = pathlib.Path(pfitre_jax.__file__).parent
files = [path.relative_to(root.parent).with_suffix("") for path in root.rglob("*.py")]
names = sorted(".".join(file.parts) for file in files)
for name in names:
    # The operator for tomviz is imported by that program alone.
    if not name.endswith("__main__") and "tomviz_operator" not in name:
        importlib.import_module(name.removesuffix(".__init__"))
print(len(names), "modules")
"""
COMMANDS = """
from pfitre_jax.cli import app
from typer.testing import CliRunner
scan, out = sys.argv[1:]
recon = ["recon", scan, "--method", "cgls", "--iterations", "15", "--rows", "0:2", "--out", out]
for words in (
    ["inspect", scan],
    [*recon, "--format", "tiff,ome-zarr,mrc"],
    [*recon, "--format", "tiff,ome-zarr,mrc", "--overwrite"],
    recon,
    ["export", out, "--format", "ome-zarr,mrc", "--image", "supplied"],
    ["project", out + "/recon.h5", "--out", out + "/predicted.tif"],
    ["report", out],
    ["center", scan, "--try", "16:18:1", "--row", "1", "--method", "fbp", "--out", out],
    ["priors"],
):
    done = CliRunner().invoke(app, words)
    print(" ".join(words), done.exit_code)
    if done.exit_code:
        raise SystemExit(done.output)
"""


def text_without_encoding(tree: ast.AST) -> list[str]:
    """Calls that open text with the default encoding."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or "encoding" in {word.arg for word in node.keywords}:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in ("open", "fdopen", "read_text", "write_text"):
            continue
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        modes += [
            w.value.value for w in node.keywords if w.arg == "mode" and isinstance(w.value, ast.Constant)
        ]
        opens = name in ("open", "fdopen") and owner.split(".")[0] not in OTHER_OPEN
        opens &= not any("b" in mode for mode in modes if len(mode) < 4)
        # A method `open` without arguments is another one.
        opens &= bool(node.args or node.keywords) or name == "fdopen"
        if opens or name in ("read_text", "write_text") or (name == "fdopen" and owner == "os"):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def posix_only(tree: ast.AST) -> list[str]:
    """Imports and functions that Windows does not have, outside a test of the system or an exception."""
    guarded: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp):
            test = ast.unparse(node.test)
            guarded |= set(ast.walk(node)) if "sys.platform" in test or "hasattr(os" in test else set()
        elif isinstance(node, ast.Try):
            guarded |= set(ast.walk(node))
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        wrong = [name for name in names if name.split(".")[0] in (*windows_rules.MODULES, "signal")]
        if isinstance(node, ast.Attribute) and node.attr in (*windows_rules.FUNCTIONS, "kill"):
            wrong += [node.attr] if ast.unparse(node.value) == "os" else []
        if isinstance(node, ast.Attribute) and node.attr in ("symlink_to", "hardlink_to", "chmod"):
            wrong.append(node.attr)
        if wrong and node not in guarded:
            found.append(f"line {node.lineno}: {', '.join(wrong)}")
    return found


@pytest.mark.parametrize("check", [text_without_encoding, posix_only])
def test_the_code_is_portable(check):
    found = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in FILES
        if (lines := check(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert not found


@pytest.mark.parametrize(
    ("check", "code"),
    [
        (text_without_encoding, "open('a')"),
        (text_without_encoding, "open('a', 'w')"),
        (text_without_encoding, "path.open('w', newline='')"),
        (text_without_encoding, "path.read_text()"),
        (text_without_encoding, "path.write_text(text)"),
        (text_without_encoding, "os.fdopen(descriptor, 'a')"),
        (posix_only, "import fcntl"),
        (posix_only, "os.getuid()"),
        (posix_only, "os.kill(pid, 0)"),
        (posix_only, "a.symlink_to(b)"),
    ],
)
def test_a_call_that_is_not_portable_is_detected(check, code):
    assert len(check(ast.parse(code))) == 1


def test_portable_calls_pass():
    code = (
        "if sys.platform != 'win32':\n    import fcntl\nopen('a', 'rb')\npath.read_text(encoding='utf-8')\n"
    )
    assert not text_without_encoding(ast.parse(code)) and not posix_only(ast.parse(code))


def test_no_two_files_differ_only_by_case_and_all_names_are_allowed():
    names = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*")]
    assert len({name.lower() for name in names}) == len(names)
    parts = {part for name in names for part in name.split("/")}
    assert not [
        part for part in parts if set(part) & set(windows_rules.FORBIDDEN) or part.endswith((".", " "))
    ]
    assert not [part for part in parts if part.split(".")[0].lower() in windows_rules.RESERVED]


def run(code: str, *arguments: object, before: str = OTHERS) -> str:
    """Runs code in a process with the rules of Windows; returns its output."""
    if sys.platform != "linux":
        pytest.skip("the rules of Windows are imitated on Linux")
    code = before + RULES.format(helpers=str(Path(windows_rules.__file__).parent)) + code
    command = [sys.executable, "-X", "warn_default_encoding", "-c", code, *map(str, arguments)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PFITRE_NETWORK": "xla"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_hold(tmp_path):
    (tmp_path / "a").write_text("a")
    output = run(
        """
import os
from pathlib import Path
def refused(act):
    try:
        act()
    except (OSError, AttributeError, ImportError) as error:
        return True
folder = Path(sys.argv[1])
def replace_open():
    with (folder / "b").open("wb"):
        os.replace(folder / "a", folder / "b")
print([
    refused(replace_open),
    refused(lambda: (folder / "a:b").open("wb")),
    refused(lambda: (folder / "A").open("wb")),
    refused(lambda: (folder / "nul.txt").open("wb")),
    refused(lambda: Path("/proc/cpuinfo").read_bytes()),
    refused(lambda: os.getuid()),
    refused(lambda: __import__("fcntl")),
    refused(lambda: os.replace(folder / "a", folder / "b")),
])
""",
        tmp_path,
        before="",
    )
    assert output.strip() == str([True] * 7 + [None])


@pytest.mark.slow
def test_every_module_is_imported_on_windows():
    assert int(run(IMPORTS).split()[0]) == len(FILES)


@pytest.mark.slow
def test_commands_run_on_windows(tmp_path):
    discs = [[(3.0, 1.0, 6.0 + r, 1.0)] for r in range(3)]
    np.savez(tmp_path / "scan.npz", projections=disc_stack(discs), theta_deg=THETA_DEG, center=CENTER)
    run(COMMANDS, tmp_path / "scan.npz", tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"recon.h5", "recon.mrc", "recon_supplied.ome.zarr", "predicted.tif", "report.html"} <= names
    # Nothing temporary is left, and no lock.
    assert not [name for name in names if name.startswith(".") or name == "partial"]
