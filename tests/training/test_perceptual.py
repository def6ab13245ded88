"""The perceptual distance: zero for equal images, larger for worse ones, of any number of slices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, maximum_filter

from pfitre_jax.models import vgg
from pfitre_jax.models.unet import UNetConfig
from pfitre_jax.priors.files import save
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.training.perceptual import Features, Perceptual, distance, load_features
from pfitre_jax.twin.scenes.heldout import heldout

measure = jax.jit(distance)
slope = jax.jit(jax.grad(distance, argnums=1))
#: Numbers of the first convolutions of torchvision's VGG11 and VGG16, and their channels here.
VGG11, VGG16 = {0: 4, 3: 6, 6: 8, 8: 8}, {0: 4, 2: 4, 5: 6, 7: 6}


def arrays(layout):
    generator, inputs, made = np.random.default_rng(0), 3, {}
    for number, outputs in layout.items():
        kernel = generator.normal(size=(outputs, inputs, 3, 3)) / (9 * inputs) ** 0.5
        made[f"features.{number}.weight"] = kernel.astype(np.float32)
        made[f"features.{number}.bias"] = 0.1 * generator.normal(size=outputs).astype(np.float32)
        inputs = outputs
    return made


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, Features]:
    folder = tmp_path_factory.mktemp("frozen")
    np.savez(folder / "vgg.npz", **arrays(VGG11), **{"classifier.0.weight": np.zeros((2, 2))})
    config = UNetConfig(channels=(4, 6, 8), growth=4, blocks=1, dilations=(1,), embedding=8)
    save(folder / "mine.npz", NetworkPrior.create(config, jax.random.key(0)))
    return {
        "vgg": load_features(Perceptual(vgg=str(folder / "vgg.npz"))),
        "prior": load_features(Perceptual(prior=str(folder / "mine.npz"))),
        "circuits": load_features(Perceptual()),
    }


@pytest.fixture(scope="module")
def truth():
    return np.stack([heldout(seed, 48)[0] for seed in (1, 3)]).astype(np.float32)


def blurred(image, sigma):
    return np.stack([gaussian_filter(one, sigma) for one in image])


def noisy(image, sigma):
    return image + sigma * np.random.default_rng(1).normal(size=image.shape).astype(np.float32)


@pytest.mark.parametrize("name", ["vgg", "prior", "circuits"])
def test_distance(networks, truth, name):
    frozen = networks[name]
    assert float(measure(frozen, truth, truth)) == 0
    for spoil, sizes in ((blurred, (0.5, 1.0, 2.0)), (noisy, (0.02, 0.1, 0.3))):
        found = [float(measure(frozen, spoil(truth, size), truth)) for size in sizes]
        assert 1e-6 < found[0] < found[1] < found[2] <= 4
    worse = noisy(truth, 0.1)
    both = float(measure(frozen, worse, truth))
    each = [float(measure(frozen, worse[i : i + 1], truth[i : i + 1])) for i in range(2)]
    np.testing.assert_allclose(both, np.mean(each), rtol=1e-5)
    down = slope(frozen, worse, truth)
    assert np.all(np.isfinite(down)) and np.any(down)
    # Also where the images agree, and where they are blank.
    blank = np.zeros_like(truth)
    for image, other in ((truth, truth), (blank, blank), (blank, truth)):
        assert np.all(np.isfinite(slope(frozen, image, other)))


def test_how_large_the_features_of_a_level_are_does_not_matter(networks, truth):
    """Weights and bias of VGG's last convolution three times larger: the same distance."""
    frozen, worse = networks["vgg"], blurred(truth, 1.0)
    *blocks, (*layers, (kernel, bias)) = frozen.params
    scaled = Features((*blocks, (*layers, (3 * kernel, 3 * bias))), None)
    np.testing.assert_allclose(measure(scaled, worse, truth), measure(frozen, worse, truth), rtol=1e-3)


def test_maps_of_a_prior_are_at_full_half_and_quarter_resolution(networks):
    maps = networks["prior"](jnp.ones((9, 14)))
    assert [level.shape for level in maps] == [(12, 16, 4), (6, 8, 6), (3, 4, 8)]


@pytest.mark.parametrize(("layout", "pooled"), [(VGG11, (3, 6)), (VGG16, (5,))])
def test_maps_of_vgg_are_those_of_torchvision(tmp_path, layout, pooled):
    """Against sums over the taps in numpy, in torchvision's order of axes."""
    np.savez(tmp_path / "vgg.npz", **arrays(layout))
    image = np.random.default_rng(2).random((9, 12))
    x = np.stack([(image - m) / d for m, d in zip(vgg.MEAN, vgg.DEVIATION, strict=True)])
    expected = []
    for number in layout:
        if number in pooled:
            expected.append(x)
            ny, nx = (size // 2 for size in x.shape[1:])
            x = maximum_filter(x, (1, 2, 2), origin=(0, -1, -1))[:, : 2 * ny : 2, : 2 * nx : 2]
        weight, bias = (arrays(layout)[f"features.{number}.{kind}"] for kind in ("weight", "bias"))
        padded, (ny, nx) = np.pad(x, ((0, 0), (1, 1), (1, 1))), x.shape[1:]
        taps = [
            np.einsum("oi,ihw->ohw", weight[:, :, a, b], padded[:, a : a + ny, b : b + nx])
            for a in range(3)
            for b in range(3)
        ]
        x = np.maximum(sum(taps) + bias[:, None, None], 0)
    expected.append(x)
    maps = vgg.features(vgg.load(tmp_path / "vgg.npz"), jnp.asarray(image, jnp.float32))
    assert len(maps) == len(expected)
    for ours, theirs in zip(maps, expected, strict=True):
        np.testing.assert_allclose(np.moveaxis(np.asarray(ours), -1, 0), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: {}, r"has the convolutions \[\]"),
        (lambda a: a | {"features.11.weight": a["features.8.weight"]}, r"lacks \['features.11.bias'\]"),
        (lambda a: {k: v for k, v in a.items() if k != "features.3.bias"}, r"lacks \['features.3.bias'\]"),
        # With batch normalisation there are 4 from one convolution to the next.
        (lambda a: {k.replace(".3.", ".4."): v for k, v in a.items()}, "without batch normalisation"),
        (
            lambda a: a | {"features.3.weight": a["features.0.weight"]},
            r"features.3 has shapes \(4, 3, 3, 3\)",
        ),
    ],
)
def test_other_files_than_vgg_are_refused(tmp_path, change, said):
    np.savez(tmp_path / "vgg.npz", **change(arrays(VGG11)))
    with pytest.raises(ValueError, match=said):
        vgg.load(tmp_path / "vgg.npz")


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "vgg.npz").write_text("no")
    with pytest.raises(ValueError, match="expected VGG weights"):
        vgg.load(tmp_path / "vgg.npz")
    with pytest.raises(FileNotFoundError):
        vgg.load(tmp_path / "none.npz")
