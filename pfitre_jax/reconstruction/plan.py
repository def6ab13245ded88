"""A scan made ready, and its rows solved: what reconstructions in memory and to files share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import Calibration, calibrate
from pfitre_jax.estimation.support import field_of_view
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.priors.window import within
from pfitre_jax.reconstruction import executor as slices
from pfitre_jax.reconstruction import methods
from pfitre_jax.reconstruction.data_model import DataModel
from pfitre_jax.runtime import devices as meshes
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.runtime.memory import Needed
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.volume_problem import VolumeProblem
from pfitre_jax.trust.consistency import split
from pfitre_jax.trust.domain import check_domain, disagreement, domain_score
from pfitre_jax.trust.image_statistics import statistics

#: Rows, evenly spread over those with signal, on which a learned prior is asked whether it knows what it
#: sees.
DOMAIN_ROWS = 4
#: A row has signal if its slice's norm is this share of the largest: in air everything is noise.
SIGNAL_SHARE = 0.25


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Some rows, solved; arrays have the rows first.

    rows: of the scan
    volume, measured: (rows, ny, nx) float32, in the units of the result; supplied: (rows,)
    status, iterations, residual: (rows,); history, change: (rows, iterations)
    size: (rows,), norm of the slice; blind: (rows,), whether the row has no valid bin
    gains: (rows, views), factors that views were too bright by; stripes: (rows, columns), offsets of columns,
        in the units of the projections; trusted: (rows, views), mean weights of their bins, 1 for full;
        (rows, 0) where they were not looked for
    """

    rows: slice
    volume: np.ndarray
    measured: np.ndarray
    supplied: np.ndarray
    status: np.ndarray
    iterations: np.ndarray
    residual: np.ndarray
    history: np.ndarray
    change: np.ndarray
    size: np.ndarray
    blind: np.ndarray
    gains: np.ndarray
    stripes: np.ndarray
    trusted: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """All but ``rows``, by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "rows"}


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A scan with the compiled programs that solve its rows; :func:`prepare`.

    settings: of the method, complete
    prior: the learned one as the solver has it, in the field of view; None where there is none
    seconds_compile: wall time
    """

    scan: Scan
    method: str
    settings: dict[str, Any]
    prior: Any
    calibration: Calibration
    program: slices.Program
    splitter: Callable
    seconds_compile: float

    @property
    def problem(self) -> Problem:
        """The problem that all rows share."""
        return self.calibration.problem

    @property
    def geometry(self) -> ParallelGeometry:
        """Of each row."""
        return self.problem.A.geometry

    @property
    def chunk(self) -> int:
        """Rows that are solved together."""
        return self.program.chunk

    @property
    def needed(self) -> Needed:
        """Memory that they take."""
        return self.program.needed

    @property
    def unit(self) -> float:
        """Micrometres of a pixel, that values are per; 1 where it is not known."""
        return 1.0 if self.scan.pixel_size is None else self.scan.pixel_size

    def solve(self, todo: Iterable[slice]) -> Iterator[Part]:
        """Each of these blocks of rows, at most :attr:`chunk` each."""
        scale = np.float32(self.calibration.scale / self.unit)
        for solved in slices.solve_blocks(self.program, self.scan.select_rows, todo):
            count = solved.rows.stop - solved.rows.start
            data = (solved.sinograms, solved.masks, solved.images)
            out = self.splitter(
                self.program.problem,
                np.float32(self.calibration.noise),
                np.float32(self.calibration.scale),
                *data,
            )
            measured, supplied, gains, stripes, trusted = (np.asarray(a)[:count] for a in out)
            volume = scale * solved.volume
            yield Part(
                rows=solved.rows,
                volume=volume,
                measured=scale * measured,
                supplied=supplied,
                status=solved.status,
                iterations=solved.stats["iterations"],
                residual=solved.residual,
                history=solved.stats["residual"],
                change=solved.stats["change"],
                size=np.linalg.norm(volume, axis=(1, 2)),
                blind=~solved.masks[:count].any(axis=(1, 2)),
                gains=gains,
                stripes=np.float32(self.calibration.scale) * stripes,
                trusted=trusted,
            )

    def misfit(self, row: int, image) -> tuple[np.ndarray, np.ndarray]:
        """Sinogram of a row (views, columns), and ``M(Ax - y)`` of its slice ``image (ny, nx)``."""
        scan = self.scan.select_rows(slice(row, row + 1))
        sinogram, mask = scan.projections[:, 0], scan.mask[:, 0]
        predicted = np.asarray(_project(self.problem.A, np.float32(self.unit) * image))
        return sinogram, np.where(mask, predicted - sinogram, 0)

    def look(
        self, rows: slice, size, image: Callable[[int], np.ndarray]
    ) -> tuple[list[str], float | None, float]:
        """What the prior, if there is one, says of a few of these rows: warnings,
        :func:`pfitre_jax.trust.domain.domain_score`, and the seconds to compile it.

        size: (rows,), norms of the slices; image: number of a row of the scan -> its slice
        """
        prior = self.prior
        if not hasattr(prior, "card"):
            return [], None, 0.0
        rho = self.settings["rho"]
        if self.method == "pfitre-original":
            rho = rho / float(self.problem.norm_squared)
        # Always so many, that no other number of rows is another compilation.
        looked = np.resize(rows_with_signal(size, DOMAIN_ROWS), DOMAIN_ROWS)
        # With the neighbours that the prior sees; beyond the first and the last row these go on.
        reach = getattr(prior, "reach", 0)
        numbers = np.clip(looked[:, None] + np.arange(-reach, reach + 1), 0, rows.stop - rows.start - 1)
        scans = [[self.scan.select_rows(slice(k, k + 1)) for k in few] for few in rows.start + numbers]
        mask = np.array([[scan.mask[:, 0] for scan in few] for few in scans], np.float32)
        scale = np.float32(self.calibration.scale)
        sinogram = mask * np.array([[scan.projections[:, 0] for scan in few] for few in scans]) / scale
        images = np.array([[image(k) for k in few] for few in rows.start + numbers])
        images *= np.float32(self.unit) / scale
        arguments = as_arrays((prior, self.problem, sinogram, mask, images, np.float32(rho), scale))
        executable, seconds = compiled(_look, *arguments, model=DataModel.of(self.settings))
        disagreements, looks = jax.tree.map(np.asarray, executable(*arguments))
        wedge = Wedge(float(self.problem.wedge.center_rad), float(self.problem.wedge.width_rad))
        score = domain_score(prior.card, looks)
        said = check_domain(prior.card, wedge, self.scan.views, rho, disagreements, score)
        return said, score, seconds


def prepare(
    scan: Scan,
    method: str,
    settings: dict[str, Any],
    rows: int,
    *,
    joint: bool = False,
    scale: float | None = None,
    noise: float | None = None,
    tv_weight: float | None = None,
    chunk: int | None = None,
    limit: int | None = None,
) -> Prepared:
    """Support, scale, noise and weight of a scan whose centre is known; programs that solve ``rows`` of it.

    settings: of :func:`pfitre_jax.reconstruction.methods.settings`
    joint: whether all rows are one volume, see :mod:`pfitre_jax.reconstruction.slabs`
    scale, and noise and tv_weight together: where they are known already
    chunk, limit: see :func:`pfitre_jax.reconstruction.executor.make_program`
    """
    calibration = calibrate(
        scan, methods.needed_parameter(settings), scale=scale, noise=noise, tv_weight=tv_weight
    )
    problem, scale, seconds_compile = calibration.problem, calibration.scale, calibration.seconds_compile
    settings = methods.with_numbers(settings, calibration.tv_weight)
    # Beyond the field of view an extended image takes up what truncated rays bring along: nothing to look at.
    prior, seen = settings.get("prior"), field_of_view(scan.geometry())
    if prior is not None and max(problem.A.shape) > seen:
        prior = within(prior, seen)
    solved_with = settings if prior is None else settings | {"prior": prior}
    program = slices.make_program(
        methods.build(method, solved_with, scale),
        problem,
        rows,
        scale=scale,
        iterations=settings.get("iterations", 1),
        tolerance=methods.recipe(method).tolerance,
        joint=joint,
        there=scan.rows,
        chunk=chunk,
        limit=limit,
    )
    blank = np.zeros((program.chunk, *problem.A.sinogram_shape), np.float32)
    images = np.zeros((program.chunk, *problem.A.shape), np.float32)
    model, number = (("model", DataModel.of(settings)),), np.float32(0)
    splitting = meshes.over_slices(split, program.mesh, 3, 3, model)
    splitter, seconds = compiled(splitting, program.problem, number, number, blank, blank, images)
    return Prepared(
        scan=scan,
        method=method,
        settings=settings,
        prior=prior,
        calibration=calibration,
        program=program,
        splitter=splitter,
        seconds_compile=seconds_compile + program.seconds_compile + seconds,
    )


def rows_with_signal(size, number: int) -> np.ndarray:
    """At most ``number`` rows, evenly spread over those whose ``size (rows,)`` is no mere noise."""
    strong = np.flatnonzero(size >= SIGNAL_SHARE * np.max(size))
    return strong[np.unique(np.linspace(0, len(strong) - 1, number).round().astype(int))]


@jax.jit
def _project(A, image):
    return A(image)


@functools.partial(jax.jit, static_argnames="model")
def _look(prior, problem, sinograms, masks, images, rho, scale, *, model: DataModel):
    """Of few neighbouring rows each, (looks, neighbours, ...): disagreement; statistics of the middle one."""

    def one(sinogram, mask, images):
        if len(images) == 1:
            row, image = dataclasses.replace(problem, sinogram=sinogram[0], mask=mask[0]), images[0]
        else:
            row, image = VolumeProblem.create(problem, sinogram, mask), images
        row = model.seen(row, image, scale)
        return disagreement(prior, row, image, rho), statistics(images[len(images) // 2])

    return jax.vmap(one)(sinograms, masks, images)
