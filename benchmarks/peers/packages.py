"""Reconstruction of a slice by each package, as its documentation does it.

Every entry of :data:`PEERS` has the settings that are searched; the best one is chosen by the truth, for
every scan separately, which favours the package. Packages without a wheel on PyPI for this Python are in
:data:`NOT_ON_PYPI`.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

import pfitre_jax as pf
from benchmarks.peers.scans import PeerScan

Image = Float[np.ndarray, "n n"]
#: Packages that pip does not find for Python 3.11 (2026-11): conda or a build from source is needed.
NOT_ON_PYPI = ("tomopy", "tomojax", "cil")


@dataclasses.dataclass(frozen=True)
class Peer:
    """A method of a package.

    Attributes:
        package: Name on PyPI.
        reconstruct: Reconstructs a scan with one value of each setting.
        settings: Values of each setting that are tried.
    """

    package: str
    reconstruct: Callable[..., Image]
    settings: dict[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)

    def version(self) -> str | None:
        """The installed version, or None."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None

    def combinations(self) -> Iterator[dict[str, Any]]:
        """All combinations of the settings."""
        for values in itertools.product(*self.settings.values()):
            yield dict(zip(self.settings, values, strict=True))


def ours(scan: PeerScan, method: str, **settings: Any) -> Image:
    """A method of this package, by the function that users call."""
    whole = pf.Scan.create(scan.sinogram[:, None], scan.theta_rad, center=scan.center)
    return np.asarray(pf.reconstruct(whole, method, **settings).volume[0])


def astra(scan: PeerScan, algorithm: str, iterations: int = 1) -> Image:
    """FBP, SIRT or CGLS of the ASTRA toolbox on the CPU, with its ``linear`` projector."""
    import astra as toolbox

    views, center = scan.sinogram, scan.center
    if algorithm == "FBP":
        # ASTRA's FBP has the axis in the middle of the detector.
        center = (scan.columns - 1) / 2
        views = scan.resampled(center)
    projection = pf.ParallelGeometry.create(scan.theta_rad, scan.columns, center)
    geometry, volume = pf.interop.astra.to_astra(pf.Projector(projection, (scan.columns,) * 2))
    projector = toolbox.create_projector("linear", geometry, volume)
    data = toolbox.data2d.create("-sino", geometry, views)
    result = toolbox.data2d.create("-vol", volume)
    config = toolbox.astra_dict(algorithm)
    config |= {"ProjectorId": projector, "ProjectionDataId": data, "ReconstructionDataId": result}
    if algorithm == "SIRT":
        config["option"] = {"MinConstraint": 0.0}
    identifier = toolbox.algorithm.create(config)
    toolbox.algorithm.run(identifier, iterations)
    image = toolbox.data2d.get(result)
    toolbox.algorithm.delete(identifier)
    toolbox.data2d.delete([data, result])
    toolbox.projector.delete(projector)
    return image


def _for_scikit_image(scan: PeerScan) -> tuple[np.ndarray, np.ndarray]:
    """The views (columns, views) and their angles, degrees; the axis is at pixel ``n // 2`` there."""
    half = 0.5 * (1 - scan.columns % 2)
    axis = scan.columns // 2 - half * (np.cos(scan.theta_rad) - np.sin(scan.theta_rad))
    return scan.resampled(axis).T.astype(float), np.rad2deg(scan.theta_rad)


def scikit_image_fbp(scan: PeerScan, filter_name: str) -> Image:
    """``skimage.transform.iradon``, scaled from its weights of half a turn to the angles that are there."""
    from skimage.transform import iradon

    views, degrees = _for_scikit_image(scan)
    image = iradon(views, degrees, filter_name=filter_name, circle=True)
    return image * (scan.theta_rad.max() - scan.theta_rad.min()) / np.pi


def scikit_image_sart(scan: PeerScan, iterations: int) -> Image:
    """``skimage.transform.iradon_sart``, non-negative."""
    from skimage.transform import iradon_sart

    views, degrees = _for_scikit_image(scan)
    image = None
    for _ in range(iterations):
        image = iradon_sart(views, degrees, image=image, clip=(0, np.inf))
    assert image is not None
    return image


def _scico_loss(scan: PeerScan) -> tuple[Any, Any]:
    """Operator of SCICO with norm 1, and the loss of the data scaled with it."""
    from scico.loss import SquaredL2Loss

    projector = pf.Projector(scan.geometry(), (scan.columns,) * 2)
    norm = float(np.sqrt(projector.norm_squared()))
    operator = pf.interop.scico.linear_operator(projector) / norm
    return operator, SquaredL2Loss(y=scan.sinogram / norm, A=operator)


def scico_tv(scan: PeerScan, weight: float, rho: float, iterations: int = 100) -> Image:
    """Isotropic total variation and non-negativity by ADMM, as in SCICO's example ``ct_astra_tv_admm``."""
    import jax.numpy as jnp
    from scico import functional, linop
    from scico.optimize.admm import ADMM, LinearSubproblemSolver

    operator, loss = _scico_loss(scan)
    gradient = linop.FiniteDifference(input_shape=operator.input_shape, append=0)
    solver = ADMM(
        f=loss,
        g_list=[weight * functional.L21Norm(), functional.NonNegativeIndicator()],
        C_list=[gradient, linop.Identity(operator.input_shape)],
        rho_list=[rho, rho],
        x0=jnp.zeros(operator.input_shape, jnp.float32),
        maxiter=iterations,
        subproblem_solver=LinearSubproblemSolver(cg_kwargs={"tol": 1e-4, "maxiter": 20}),
    )
    return np.maximum(np.asarray(solver.solve()), 0)


def scico_plug_and_play(scan: PeerScan, rho: float, denoiser: str, iterations: int = 20) -> Image:
    """Plug-and-play ADMM with BM3D or a DnCNN, as in SCICO's example ``ct_svmbir_ppp_bm3d_admm_cg``."""
    import jax.numpy as jnp
    from scico import functional, linop
    from scico.optimize.admm import ADMM, LinearSubproblemSolver

    operator, loss = _scico_loss(scan)
    prior = functional.BM3D() if denoiser == "BM3D" else functional.DnCNN(denoiser)
    weight = 0.05 * rho if denoiser == "BM3D" else 1.0
    solver = ADMM(
        f=loss,
        g_list=[weight * prior, functional.NonNegativeIndicator()],
        C_list=[linop.Identity(operator.input_shape), linop.Identity(operator.input_shape)],
        rho_list=[rho, rho],
        x0=jnp.zeros(operator.input_shape, jnp.float32),
        maxiter=iterations,
        subproblem_solver=LinearSubproblemSolver(cg_kwargs={"tol": 1e-4, "maxiter": 30}),
    )
    return np.maximum(np.asarray(solver.solve()), 0)


def deepinverse_tv(scan: PeerScan, weight: float, iterations: int = 200) -> Image:
    """Proximal gradient descent with DeepInverse's total variation."""
    import deepinv
    import torch

    projector = pf.Projector(scan.geometry(), (scan.columns,) * 2)
    physics = pf.interop.deepinv.linear_physics(projector, normalize=True)
    norm = float(np.sqrt(projector.norm_squared()))
    data = torch.from_numpy(scan.sinogram / norm)[None, None]
    fidelity, prior = deepinv.optim.L2(), deepinv.optim.TVPrior(n_it_max=30)
    solver = deepinv.optim.optim_builder(
        iteration="FISTA",
        prior=prior,
        data_fidelity=fidelity,
        max_iter=iterations,
        params_algo={"stepsize": 0.9, "lambda": weight, "a": 3},
    )
    with torch.no_grad():
        image = solver(data, physics)
    return np.maximum(image[0, 0].numpy(), 0)


def mbirjax_recon(scan: PeerScan, sharpness: float, snr_db: float) -> Image:
    """Model-based reconstruction with the generalised Markov random field of MBIRJAX."""
    import mbirjax

    views, columns = scan.sinogram.shape
    model = mbirjax.ParallelBeamModel((views, 1, columns), scan.theta_rad)
    model.set_params(
        det_channel_offset=scan.center - (columns - 1) / 2,
        sharpness=sharpness,
        snr_db=snr_db,
        recon_shape=(columns, columns, 1),
        verbose=0,
    )
    recon, _ = model.recon(scan.sinogram[:, None, :], max_iterations=30, stop_threshold_change_pct=0.1)
    return np.asarray(recon)[:, :, 0]


def svmbir_recon(scan: PeerScan, sharpness: float, snr_db: float) -> Image:
    """Model-based reconstruction with the Markov random field of svmbir."""
    import svmbir

    columns = scan.columns
    recon = svmbir.recon(
        scan.sinogram[:, None, :],
        scan.theta_rad,
        num_rows=columns,
        num_cols=columns,
        center_offset=scan.center - (columns - 1) / 2,
        sharpness=sharpness,
        snr_db=snr_db,
        verbose=0,
    )
    return recon[0].T


_WEIGHTS = tuple(10.0 ** (-e / 2) for e in range(9, 3, -1))
_MRF = {"sharpness": (-1.0, 0.0, 1.0), "snr_db": (30.0, 40.0, 50.0)}
#: Methods by their name in tables.
PEERS: dict[str, Peer] = {
    "pfitre_jax, pfitre": Peer("pfitre_jax", lambda scan: ours(scan, "pfitre")),
    "pfitre_jax, fista-tv, automatic weight": Peer("pfitre_jax", lambda scan: ours(scan, "fista-tv")),
    "pfitre_jax, fista-tv, best weight": Peer(
        "pfitre_jax", lambda scan, weight: ours(scan, "fista-tv", weight=weight), {"weight": _WEIGHTS}
    ),
    "ASTRA, FBP": Peer("astra-toolbox", lambda scan: astra(scan, "FBP")),
    "ASTRA, SIRT": Peer(
        "astra-toolbox",
        lambda scan, iterations: astra(scan, "SIRT", iterations),
        {"iterations": (30, 100, 300, 1000)},
    ),
    "ASTRA, CGLS": Peer(
        "astra-toolbox",
        lambda scan, iterations: astra(scan, "CGLS", iterations),
        {"iterations": (3, 6, 12, 25)},
    ),
    "scikit-image, FBP": Peer(
        "scikit-image", scikit_image_fbp, {"filter_name": ("ramp", "shepp-logan", "hann")}
    ),
    "scikit-image, SART": Peer("scikit-image", scikit_image_sart, {"iterations": (1, 3, 10)}),
    "SCICO, TV by ADMM": Peer("scico", scico_tv, {"weight": _WEIGHTS, "rho": (0.01, 0.1)}),
    "SCICO, plug-and-play BM3D": Peer(
        "scico",
        lambda scan, rho: scico_plug_and_play(scan, rho, "BM3D"),
        {"rho": (0.003, 0.01, 0.03)},
    ),
    "SCICO, plug-and-play DnCNN": Peer(
        "scico",
        lambda scan, rho, denoiser: scico_plug_and_play(scan, rho, denoiser),
        {"rho": (0.003, 0.01, 0.03), "denoiser": ("6L", "17L")},
    ),
    "DeepInverse, TV": Peer("deepinv", deepinverse_tv, {"weight": _WEIGHTS}),
    "MBIRJAX": Peer("mbirjax", mbirjax_recon, _MRF),
    "svmbir": Peer("svmbir", svmbir_recon, _MRF),
}
