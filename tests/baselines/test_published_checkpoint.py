"""Conversion of the published PyTorch checkpoint: values layer by layer, and refused files."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from pfitre_jax.baselines.published import checkpoint as original
from pfitre_jax.baselines.published.loop import PublishedADMM
from pfitre_jax.geometry import Wedge
from pfitre_jax.reconstruction.method_settings import Settings, prior_name
from pfitre_jax.reconstruction.scan_solver import build

N = 2  # filters; the published network has 32
DILATIONS = (2, 4, 8, 4, 2, 1)


def state_dict(n=N, dtype=np.float64):
    """Random arrays under the names and in the shapes that PyTorch gives the published class."""
    generator, made = np.random.default_rng(0), {}

    def layer(name, outputs, inputs, size=3):
        made[f"{name}.weight"] = (
            generator.normal(size=(outputs, inputs, size, size)) / (inputs * size**2) ** 0.5
        )
        made[f"{name}.bias"] = 0.1 * generator.normal(size=outputs)

    layer("pool1", 2 * n, 2 * n, 2)
    layer("pool2", 4 * n, 4 * n, 2)
    layer("encoder.18", 16 * n, 16 * n)  # one of those that are never run
    layer("conv1", 2 * n, 3)
    layer("conv2", 4 * n, 2 * n)
    layer("conv3s", 8 * n, 4 * n)
    for k in range(6):
        layer(f"ResBlock.conv{k + 1}", 8 * n, (k + 1) * 8 * n)
    for k in range(5):
        layer(f"ResidualDenseBlock.conv{k + 1}", 8 * n, (k + 1) * 8 * n)
    for name, inputs, middle, outputs in (("dec3", 16 * n, 8 * n, 2 * n), ("dec2", 6 * n, 4 * n, n)):
        layer(f"{name}.block.0.conv", middle, inputs)
        made[f"{name}.block.1.weight"] = generator.normal(size=(middle, outputs, 2, 2)) / middle**0.5
    layer("dec1.conv", n, 3 * n)
    layer("final", 3, n, 1)
    return {name: value.astype(dtype) for name, value in made.items()}


@dataclasses.dataclass(frozen=True)
class Framework:
    """On (channels, y, x): ``conv(x, weight, bias, stride, dilation)`` and ``spread(x, weight)``."""

    conv: Callable
    spread: Callable
    gelu: Callable
    cat: Callable


def numpy_conv(x, weight, bias, stride=1, dilation=1):
    size = weight.shape[-1]
    margin = dilation * (size // 2) if size == 3 else 0
    x = np.pad(x, ((0, 0), (margin, margin), (margin, margin)))
    ny, nx = ((s - dilation * (size - 1) - 1) // stride + 1 for s in x.shape[1:])
    taps = [
        np.einsum(
            "oi,ihw->ohw",
            weight[:, :, a, b],
            x[:, a * dilation :: stride, b * dilation :: stride][:, :ny, :nx],
        )
        for a in range(size)
        for b in range(size)
    ]
    return sum(taps) + bias[:, None, None]


def numpy_spread(x, weight):
    result = np.zeros((weight.shape[1], 2 * x.shape[1], 2 * x.shape[2]))
    for a in range(2):
        for b in range(2):
            result[:, a::2, b::2] = np.einsum("io,ihw->ohw", weight[:, :, a, b], x)
    return result


NUMPY = Framework(numpy_conv, numpy_spread, lambda x: x * (1 + erf(x / 2**0.5)) / 2, np.concatenate)


def forward(f: Framework, s, image):
    """The published forward pass of three standardised colours (3, ny, nx), in the framework's terms."""

    def layer(name, x, **how):
        return f.conv(x, s[f"{name}.weight"], s[f"{name}.bias"], **how)

    def block(name, x, dilations, weight, last):
        found = [x]
        for k, dilation in enumerate(dilations):
            y = layer(f"{name}.conv{k + 1}", f.cat(found), dilation=dilation)
            found.insert(0, f.gelu(y))
        return x + weight * (found[0] if last else y)

    full = f.gelu(layer("conv1", image))
    half = f.gelu(layer("conv2", layer("pool1", full, stride=2)))
    quarter = f.gelu(layer("conv3s", layer("pool2", half, stride=2)))
    x = quarter
    for _ in range(2):
        x = block("ResBlock", x, DILATIONS, 1.0, True)
        x = block("ResidualDenseBlock", x, (1,) * 5, 0.2, False)
    for name, skip in (("dec3", quarter), ("dec2", half)):
        x = f.gelu(layer(f"{name}.block.0.conv", f.cat([x, skip])))
        x = f.gelu(f.spread(x, s[f"{name}.block.1.weight"]))
    return layer("final", f.gelu(layer("dec1.conv", f.cat([x, full]))))


@pytest.fixture(scope="module")
def compared():
    """An image, and the output of the converted network in double precision."""
    image = np.random.default_rng(1).random((16, 24))
    with jax.enable_x64(True):
        prior = original.from_state_dict(state_dict())
        ours = np.asarray(
            jax.jit(lambda p, v: p.denoise(v, correction=v, wedge=Wedge(0.0, 1.0), rho=0.1))(
                prior, jnp.asarray(image)
            )
        )
    return image, ours


def check(image, ours, run):
    mean, deviation = image.mean(), image.std(ddof=1)
    colours = run(np.stack([(image - mean) / deviation] * 3))
    np.testing.assert_allclose(ours, colours.mean(axis=0) * deviation + mean, rtol=1e-9, atol=1e-9)


def test_output_agrees_with_the_published_network_in_numpy(compared):
    check(*compared, lambda x: forward(NUMPY, state_dict(), x))


def test_output_agrees_with_the_published_network_in_pytorch(compared):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    F, one = torch.nn.functional, lambda function, x, *a, **k: function(x[None], *a, **k)[0]
    framework = Framework(
        lambda x, w, b, stride=1, dilation=1: one(
            F.conv2d, x, w, b, stride, dilation if w.shape[-1] == 3 else 0, dilation
        ),
        lambda x, w: one(F.conv_transpose2d, x, w, stride=2),
        F.gelu,
        torch.cat,
    )
    arrays = {name: torch.tensor(value) for name, value in state_dict().items()}
    check(*compared, lambda x: forward(framework, arrays, torch.tensor(x)).numpy())


@pytest.mark.parametrize("name", sorted(original.LAYERS.values()))
def test_every_layer_is_read_from_a_separate_array(name):
    """Changing the weights of one layer changes that layer only."""
    state = state_dict(dtype=np.float32)
    changed = state | {f"{name}.weight": state[f"{name}.weight"] + 1}
    before, after = (original.from_state_dict(s).params for s in (state, changed))
    differ = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, after)
    found = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in jax.tree_util.tree_leaves_with_path(differ)
        if leaf
    ]
    [ours] = [layer for layer, theirs in original.LAYERS.items() if theirs == name]
    assert found == [f"{ours}/kernel"]


def test_names_of_parallel_training_are_accepted():
    state = state_dict(dtype=np.float32)
    plain, parallel = (
        original.from_state_dict(s).params for s in (state, {f"module.{k}": v for k, v in state.items()})
    )
    jax.tree.map(np.testing.assert_array_equal, plain, parallel)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "dec1.conv.bias"}, r"lacks \['dec1.conv.bias'\]"),
        (lambda s: s | {"dec9.weight": s["final.bias"]}, r"the unknown \['dec9.weight'\]"),
        (
            lambda s: s | {"conv2.weight": s["conv1.weight"]},
            r"another shape \['conv2.weight \(4, 3, 3, 3\)'\]",
        ),
        (lambda s: {}, "lacks .*published PFITRE_net with 32 filters"),
    ],
)
def test_other_networks_are_refused_with_the_differences(change, message):
    with pytest.raises(ValueError, match=message):
        original.from_state_dict(change(state_dict(dtype=np.float32)))


def test_a_checkpoint_is_read_and_run_in_the_published_loop(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    state = state_dict(dtype=np.float32)
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    expected = original.from_state_dict(state).params
    for content in (tensors, {"epoch": 3, "net_state_dict": tensors}, {"state_dict": tensors}):
        torch.save(content, tmp_path / "ckpt_3.pth")
        settings = Settings.create("pfitre-original", prior=str(tmp_path / "ckpt_3.pth"))
        assert prior_name(settings.prior) == "ckpt_3.pth"
        assert isinstance(build(settings), PublishedADMM)
        jax.tree.map(np.testing.assert_array_equal, settings.prior.params, expected)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"cannot be read as arrays only.*save model.state_dict\(\)"):
        original.load(tmp_path / "model.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="holds no state dict"):
        original.load(tmp_path / "empty.pth")


def test_missing_files_and_missing_pytorch_are_reported(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        Settings.create("pfitre-original", prior=str(tmp_path / "none.pth"))
    (tmp_path / "there.pth").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match=r"pip install '\.\[torch\]' in a copy of the repository"):
        original.load(tmp_path / "there.pth")


def test_importing_the_package_does_not_import_pytorch():
    code = "import sys, pfitre_jax.baselines.published.checkpoint; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
