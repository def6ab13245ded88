"""Contract of the engines of the network: XLA's values and gradients under every transformation of JAX.

The tests of oneDNN run where PyTorch is installed: ``pip install -e '.[cpu]'``.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from importlib import util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.models import engines, unet
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.network import NetworkPrior, network_engine
from pfitre_jax.priors.tv import TV
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.priors.window import Windowed

NETWORK = UNetConfig(channels=(4, 6, 8), blocks=1, dilations=(1, 2), growth=4, embedding=8)
CONDITION = jnp.array([0.3, -0.5])
needs_onednn = pytest.mark.skipif(
    util.find_spec("torch") is None, reason="PyTorch is not installed: pip install -e '.[cpu]'"
)
#: Largest relative error of values and of gradients, Euclidean norm.
TOLERANCE = {"xla": 1e-6, "onednn-float32": 2e-5, "onednn-bfloat16": 0.05}


@pytest.fixture(
    params=[
        # Its fast tests are those of tests/models.
        pytest.param("xla", marks=pytest.mark.slow),
        pytest.param("onednn-float32", marks=needs_onednn),
        pytest.param("onednn-bfloat16", marks=needs_onednn),
    ]
)
def engine(request, monkeypatch):
    monkeypatch.setenv(engines.VARIABLE, request.param)
    return request.param


@pytest.fixture
def onednn(monkeypatch):
    if util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed: pip install -e '.[cpu]'")
    monkeypatch.setenv(engines.VARIABLE, "onednn-float32")


@pytest.fixture(scope="module")
def params():
    params, generator = unet.init(NETWORK, jax.random.key(0)), np.random.default_rng(0)
    return jax.tree.map(lambda a: a + 0.1 * generator.standard_normal(a.shape, np.float32), params)


def pictures(*shape):
    return jax.random.uniform(jax.random.key(1), (*shape, 13, 16, 2))


def reference(params, images, condition):
    """The network of each image, by XLA without batching."""
    return jax.vmap(lambda image: unet.predict_update(NETWORK, params, image, condition))(images)


def network(params, images, condition):
    return unet.predict_updates(NETWORK, params, images, condition)


def over_images(function, params, images, conditions):
    """(n,) batches of one image, each with its own condition."""
    return jax.vmap(lambda image, condition: function(params, image[None], condition)[0])(images, conditions)


def iterated(function, params, images, condition, wrap=lambda step: step):
    """Three updates of the first channel in a scan, as in the loop of a solver."""

    def step(x, _):
        return x + function(params, jnp.stack([x, images[..., 1]], axis=-1), condition), None

    return jax.lax.scan(wrap(step), images[..., 0], length=3)[0]


def conditions(number):
    return CONDITION[None] + 0.3 * jnp.arange(number)[:, None]


def loss(output):
    return jnp.sum(jnp.sin(output))


def each_gradient(function, params, images, conditions):
    one = lambda image, condition: jax.grad(  # noqa: E731
        lambda *at: loss(function(at[0], at[1][None], at[2])), (0, 1, 2)
    )(params, image, condition)
    return jax.vmap(one)(images, conditions)


TRANSFORMATIONS = {
    "values": lambda f, p: f(p, pictures(3), CONDITION),
    "jit": lambda f, p: jax.jit(f)(p, pictures(3), CONDITION),
    "vmap over images": lambda f, p: jax.jit(jax.vmap(f, (None, 0, None)))(p, pictures(2, 3), CONDITION),
    "vmap over images and conditions": lambda f, p: over_images(f, p, pictures(3), conditions(3)),
    "vmap over conditions": lambda f, p: jax.vmap(f, (None, None, 0))(p, pictures(2), conditions(3)),
    "vmap over parameters": lambda f, p: jax.vmap(f, (0, None, None))(
        jax.tree.map(lambda a: jnp.stack([a, 0.5 * a]), p), pictures(2), CONDITION
    ),
    "grad": lambda f, p: jax.grad(lambda *at: loss(f(*at)), (0, 1, 2))(p, pictures(3), CONDITION),
    "value_and_grad, one image": lambda f, p: jax.jit(jax.value_and_grad(lambda *at: loss(f(*at)), (0, 1)))(
        p, pictures(1), CONDITION
    ),
    "gradient to the image only": lambda f, p: jax.jit(jax.grad(lambda x: loss(f(p, x, CONDITION))))(
        pictures(3)
    ),
    "grad of vmap": lambda f, p: jax.jit(
        jax.grad(lambda *at: loss(over_images(f, *at)), (0, 1, 2)),
    )(p, pictures(3), conditions(3)),
    "vmap of grad": lambda f, p: jax.jit(lambda *at: each_gradient(f, *at))(p, pictures(3), conditions(3)),
    "vmap over cotangents": lambda f, p: jax.vmap(
        lambda cotangent: jax.vjp(lambda x, c: f(p, x, c), pictures(2), CONDITION)[1](cotangent)
    )(jnp.stack([pictures(2)[..., 0], pictures(2)[..., 1]])),
    "grad of scan": lambda f, p: jax.jit(
        jax.grad(lambda *at: loss(iterated(f, *at)), (0, 1)),
    )(p, pictures(2), CONDITION),
    "grad of scan with checkpoint": lambda f, p: jax.jit(
        jax.grad(lambda *at: loss(iterated(f, *at, jax.checkpoint)), (0, 1)),
    )(p, pictures(2), CONDITION),
    "grad of vmap of scan with checkpoint": lambda f, p: jax.jit(
        jax.grad(
            lambda p, x, c: loss(
                jax.vmap(lambda a, b: iterated(f, p, a[None], b, jax.checkpoint))(x, c),
            ),
        )
    )(p, pictures(3), conditions(3)),
}
#: Slow to compile with XLA, and close to another one of the list.
SLOW = (
    "vmap of grad",
    "vmap over parameters",
    "grad of scan",
    "vmap over cotangents",
    "vmap over conditions",
)


@pytest.fixture(scope="module")
def expected(params):
    values: dict = {}

    def compute(name):
        if name not in values:
            values[name] = TRANSFORMATIONS[name](reference, params)
        return values[name]

    return compute


def relative_error(ours, theirs) -> float:
    """Of all arrays together, relative to the norm of the expected ones."""
    flat = lambda tree: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])  # noqa: E731
    return float(np.linalg.norm(flat(ours) - flat(theirs)) / np.linalg.norm(flat(theirs)))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in TRANSFORMATIONS]
)
def test_equals_xla_in_float32(engine, params, expected, name):
    # A new function, because JAX keeps the programs of an old one whatever the environment says.
    ours = TRANSFORMATIONS[name](lambda *at: network(*at), params)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected(name)), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
    assert relative_error(ours, expected(name)) < TOLERANCE[engine] * (4 if "scan" in name else 1)


#: Other networks: lower resolutions, unshuffled pixels, the expected error, and no dense blocks.
VARIANTS = {
    "deep": dataclasses.replace(NETWORK, deep=(6, 8), blocks=2),
    "unshuffled": dataclasses.replace(NETWORK, unshuffled=True, expected_error=True),
    "deep, without blocks": dataclasses.replace(NETWORK, deep=(6,), blocks=0, expected_error=True),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_network_equals_xla(onednn, monkeypatch, variant):
    """Both outputs, of one image and of several, with their gradients to everything."""
    config = VARIANTS[variant]
    generator = np.random.default_rng(1)
    params = jax.tree.map(
        lambda a: a + 0.1 * generator.standard_normal(a.shape, np.float32),
        unet.init(config, jax.random.key(0)),
    )

    def outputs(params, images, condition):
        both = [unet.predict_updates] + config.expected_error * [unet.predict_log_errors]
        return jnp.stack([predict(config, params, images, condition) for predict in both])

    @jax.jit
    def all_of(params):
        at = (params, pictures(3), CONDITION)
        value, gradients = jax.value_and_grad(lambda *at: loss(outputs(*at)), (0, 1, 2))(*at)
        alone = jax.grad(lambda x: loss(outputs(params, x, CONDITION)))(pictures(1))
        return outputs(*at), value, gradients, alone

    ours = all_of(params)
    monkeypatch.setenv(engines.VARIABLE, "xla")
    jax.clear_caches()
    expected = all_of(params)
    assert relative_error(ours, expected) < TOLERANCE["onednn-float32"]
    monkeypatch.setenv(engines.VARIABLE, "onednn-bfloat16")
    jax.clear_caches()
    assert relative_error(all_of(params), expected) < TOLERANCE["onednn-bfloat16"]


def test_is_the_engine_that_is_selected(engine, params):
    text = jax.jit(lambda *at: network(*at)).lower(params, pictures(2), CONDITION).as_text()
    assert ("pfitre_network" in text) == (engine != "xla")
    assert engines.engine_of("unet", None) == engine


def test_follows_parameters_that_change(onednn, params):
    """As in training, where XLA writes new parameters into the buffers of the old ones."""
    shrink = jax.jit(lambda p: jax.tree.map(lambda a: 0.9 * a, p), donate_argnums=0)
    function, exact = jax.jit(lambda *at: network(*at)), jax.jit(reference)
    current, at = jax.tree.map(jnp.copy, params), (pictures(2), CONDITION)
    for k in range(4):
        scaled = jax.tree.map(lambda a, k=k: 0.9**k * a, params)
        assert relative_error(function(current, *at), exact(scaled, *at)) < 1e-4
        current = shrink(current)


@pytest.mark.slow
def test_no_leak_over_a_thousand_calls(onednn, params):
    """Neither if the gradient is never asked for, nor if it is."""
    from pfitre_jax.models.onednn import executor

    memory = Path("/proc/self/statm")
    if not memory.exists():
        pytest.skip("needs Linux")
    resident = lambda: int(memory.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")  # noqa: E731
    value = jax.jit(lambda p, x: jax.vjp(lambda x: network(p, x, CONDITION), x)[0])
    grad = jax.jit(jax.grad(lambda x, p: loss(network(p, x, CONDITION))))
    x = pictures(2)
    # A thousand passes whose gradients never come; the limit holds them back in the test as it does in use.
    kept, executor.KEPT_BYTES = executor.KEPT_BYTES, 1 << 20
    try:
        for k in range(1000):
            if k == 100:
                before = resident()
            value(params, x + k).block_until_ready()
            grad(x + k, params).block_until_ready()
        assert sum(p.bytes for p in executor._passes) <= 1 << 20
    finally:
        executor.KEPT_BYTES = kept
    assert resident() - before < 16 << 20


@pytest.mark.parametrize(
    "derivative",
    [
        lambda f, x: jax.jvp(f, (x,), (x,)),
        lambda f, x: jax.jit(lambda x: jax.jvp(f, (x,), (x,)))(x),
        lambda f, x: jax.grad(lambda x: jnp.sum(jax.grad(lambda x: loss(f(x)))(x) ** 2))(x),
    ],
    ids=["forward mode", "forward mode in jit", "second derivative"],
)
def test_refuses_other_derivatives(onednn, params, derivative):
    with pytest.raises(NotImplementedError, match="PFITRE_NETWORK=xla"):
        derivative(lambda x: network(params, x, CONDITION), pictures(2))


@pytest.mark.slow
def test_xla_has_second_derivatives_but_no_forward_mode(monkeypatch, params):
    """As the message of oneDNN says."""
    monkeypatch.setenv(engines.VARIABLE, "xla")
    second = jax.grad(lambda p: jnp.sum(jax.grad(lambda x: loss(network(p, x, CONDITION)))(pictures(1)) ** 2))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(jax.jit(second)(params)))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda c: network(params, pictures(1), c), (CONDITION,), (CONDITION,))


def test_uses_the_processors_of_the_process(onednn, params):
    from pfitre_jax.models.onednn import executor
    from pfitre_jax.models.onednn.network import torch

    network(params, pictures(1), CONDITION)
    threads = executor._thread().submit(torch().get_num_threads).result()
    assert threads == len(os.sched_getaffinity(0))


def test_the_compilation_cache_stores_the_program(onednn, params):
    """Its text has no address in it, which would differ from process to process."""
    lower = lambda: jax.jit(lambda p, x: network(p, x, CONDITION)).lower(params, pictures(2)).as_text()  # noqa: E731
    first = lower()
    jax.clear_caches()
    assert lower() == first
    assert "callback" not in first


@pytest.mark.parametrize("engine_name", ["torch", "XLA", "onednn-float64"])
def test_unknown_engine(monkeypatch, engine_name):
    monkeypatch.setenv(engines.VARIABLE, engine_name)
    with pytest.raises(ValueError, match=f"PFITRE_NETWORK is '{engine_name}'; expected one of xla, onednn"):
        engines.select_engine()


@pytest.mark.parametrize(
    ("installed", "devices", "machine", "expected"),
    [
        (True, 1, "x86_64", "onednn-float32"),
        (False, 1, "x86_64", "xla"),
        (True, 2, "x86_64", "xla"),
        (True, 1, "arm64", "xla"),
    ],
)
def test_chosen_by_itself(monkeypatch, installed, devices, machine, expected):
    monkeypatch.delenv(engines.VARIABLE)
    monkeypatch.setattr(engines.util, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(engines.platform, "machine", lambda: machine)
    monkeypatch.setattr(engines.jax, "device_count", lambda: devices)
    monkeypatch.setattr(engines, "_multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(engines, "_pytorch_error", lambda: None)
    engines._pytorch_works.cache_clear()
    if jax.default_backend() != "cpu":
        expected = "xla"
    assert engines.select_engine() == expected


def test_missing_pytorch(monkeypatch):
    monkeypatch.setenv(engines.VARIABLE, "onednn")
    monkeypatch.setattr(engines.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install '\.\[cpu\]' in a copy of the repository"):
        engines.select_engine()


@pytest.fixture(
    params=[
        (
            "raise ImportError('libtorch_cpu.so: undefined symbol')",
            "ImportError: libtorch_cpu.so: undefined symbol",
        ),
        ("raise OSError('libgomp.so.1 is missing')", "OSError: libgomp.so.1 is missing"),
        ("", "has no torch.backends.mkldnn"),
    ],
    ids=["import error", "missing library", "missing symbols"],
)
def broken_pytorch(request, monkeypatch, tmp_path):
    """A package torch that cannot be imported, or lacks what the engine uses; returns why."""
    from pfitre_jax.models.onednn.network import torch

    content, reason = request.param
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(content + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(engines.metadata, "version", lambda name: "1.0")
    monkeypatch.setattr(engines, "_is_single_x86", lambda: True)
    caches = torch, engines._pytorch_works, engines._pytorch_error
    for function in caches:
        function.cache_clear()
    yield reason
    sys.modules.pop("torch", None)
    for function in caches:
        function.cache_clear()


def test_a_broken_pytorch_is_replaced_by_xla_with_one_warning(broken_pytorch, monkeypatch, params):
    monkeypatch.delenv(engines.VARIABLE, raising=False)
    with pytest.warns(RuntimeWarning, match=f"XLA computes the network.*{broken_pytorch}") as caught:
        assert engines.select_engine() == "xla"
        # Again, where the network is computed.
        text = jax.jit(lambda *at: network(*at)).lower(params, pictures(2), CONDITION).as_text()
    assert len(caught) == 1 and "pfitre_network" not in text
    assert engines.engine_of("unet", None) == "xla"


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="needs a CPU")
def test_a_broken_pytorch_is_an_error_where_onednn_is_asked_for(broken_pytorch, monkeypatch):
    monkeypatch.setenv(engines.VARIABLE, "onednn")
    with pytest.raises(ValueError, match=f"PFITRE_NETWORK is onednn.*{broken_pytorch}.*PFITRE_NETWORK=xla"):
        engines.select_engine()


def test_the_engine_belongs_to_priors_with_a_network_that_it_computes(onednn):
    network = NetworkPrior.create(NETWORK, jax.random.key(0))
    assert network_engine(network) == "onednn-float32"
    assert network_engine(UnrolledPrior.create(network, 0.01, 2)) == "onednn-float32"
    assert network_engine(Windowed(network, 8)) == "onednn-float32"
    assert network_engine(dataclasses.replace(network, config=UNetConfig(along_rows=True))) == "xla"
    assert network_engine(TV(1e-3)) is None and network_engine(None) is None


def test_other_types_stay_with_xla(onednn):
    assert engines.onednn_dtype("float32") == "float32"
    assert engines.onednn_dtype("bfloat16") == "bfloat16"
    assert engines.onednn_dtype("float64") is None and engines.onednn_dtype("float16") is None


@needs_onednn
def test_an_exception_ends_the_program(monkeypatch):
    from pfitre_jax.models.onednn import custom_call

    def fail(settings, arguments, results):
        raise RuntimeError(f"settings {settings}")

    custom_call.register("pfitre_test_failure", fail)
    call = jax.ffi.ffi_call("pfitre_test_failure", jax.ShapeDtypeStruct((3,), jnp.float32))
    with pytest.raises(Exception, match="RuntimeError: settings 7"):
        jax.jit(lambda x: call(x, settings="7"))(jnp.ones(3)).block_until_ready()
