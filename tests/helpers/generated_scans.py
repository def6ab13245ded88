"""Generated scan files of a known object: formats, types, orders, units, angle sets, and faults.

A :class:`Recipe` describes one file. :func:`write` writes it and returns how a user would load it, the volume
that is right, and the words with which the program may refuse it or warn instead.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from hypothesis import strategies as st

#: Views, rows and columns of a scan; few of them, because each is compiled.
SHAPES = [(24, 2, 32), (24, 3, 24), (12, 4, 24), (40, 1, 32)]
FORMATS = ["npz", "dxchange", "nxtomo", "tiff"]
KINDS = ["absorption", "transmission", "counts"]
FLOATS = ["<f4", "<f8", ">f4", ">f8"]
INTEGERS = ["u1", "<u2", "<i2", ">u2", ">i2", "<u4", ">i4"]
#: Distance of the rotation axis from the middle of the detector, bins.
OFFSETS = [0.0, 1.25, -2.0]
SCALES = [1.0, 1.0, 1e-10, 1e10, 1e-30, 1e25]
#: Ellipses: x, y, half axes (of the field's radius), orientation in degrees, value. The value falls to 0 at
#: the rim as ``1 - r^2``.
ELLIPSES = [
    (0.05, -0.1, 0.8, 0.6, 25, 1.0),
    (0.35, 0.2, 0.25, 0.2, 0, 1.2),
    (-0.3, -0.25, 0.3, 0.15, 70, -0.6),
]
#: Factor of each row, so that rows cannot be mistaken for each other.
ROWS = [1.0, 0.7, 1.2, 0.5]
#: Largest line integral of an optically thick row, neper.
THICK = 1.5

#: Angles of the views in degrees, for a number of views.
ANGLES = {
    "half turn": lambda n: np.arange(n) * 180 / n,
    "whole turn": lambda n: np.arange(n) * 360 / n,
    "two turns": lambda n: np.arange(n) * 720 / n + 5,
    "negative": lambda n: -np.arange(n) * 180 / n,
    "about zero": lambda n: np.arange(n) * 180 / n - 90,
    "unsorted": lambda n: np.mod(np.arange(n) * (5 if n % 5 else 7), n) * 180 / n,
    "repeated": lambda n: np.repeat(np.arange(n // 2) * 360 / n, 2),
    "across 360": lambda n: np.mod(300 + np.arange(n) * 180 / n, 360),
    "missing wedge": lambda n: np.linspace(-60, 60, n),
    "narrow": lambda n: np.linspace(10, 70, n),
}
#: Angles with opposite views, with which the axis is estimated, too.
OPPOSITE, CENTERS = ("whole turn", "repeated"), ["known", "known", "auto"]
#: Units of angles, and how files state them.
UNITS = {
    "deg": (1.0, ["deg", "degrees", "°"]),
    "rad": (np.pi / 180, ["rad", "radians"]),
    "mrad": (1000 * np.pi / 180, ["mrad"]),
    "turn": (1 / 360, ["turn", "revolutions"]),
    "arcmin": (60.0, ["arcmin"]),
    "mdeg": (1000.0, ["mdeg"]),
}
NPZ_UNITS = ["deg", "rad", "mrad", "turn", "arcmin", "mdeg"]

#: Words with which the program may refuse a fault or warn of it.
FAULTS = {
    "none": r"(?!)",
    # Angles.
    "radians without a unit": r"look like radians",
    "milliradians without a unit": r"plausible range|turns and their unit is not stated",
    "unknown unit": r"no known unit",
    "one angle too many": r"angles for \d+ views",
    "an angle is NaN": r"finite|not a number",
    "negative angles as uint16": r"unsigned integers|wrap",
    "one angle for all views": r"same angle",
    # Axes and kinds.
    "order without a statement": r"angles for \d+ views|order of its axes|image_key names"
    r"|(flat|dark) has shape|outside the detector|at least 3|expected one stack",
    "transmission without a statement": r"not line integrals|all projections are|data='transmission'",
    "line integrals stated as transmission": r"are no transmission|transmission exceeds 1",
    "counts without frames": r"not line integrals|data='counts'|negative as a whole",
    "counts stated as transmission": r"transmission exceeds 1|negative as a whole",
    # Values.
    "negative line integrals": r"negative as a whole",
    "NaN": r"NaN or infinite",
    "NaN, masked": r"(?!)",
    "infinite": r"NaN or infinite",
    "nothing but zeros": r"all projections are 0|no valid bin|hold one (constant )?value",
    "saturated": r"saturated",
    "wrapped": r"wrapped|not brighter",
    # Pixels.
    "dead pixel": r"hold one value in all views",
    "bright pixel": r"hold one value in all views",
    "three dead pixels": r"hold one value in all views",
    "pixel that dies": r"in many successive views",
    "zingers": r"are zingers",
    "dead column": r"hold one value in all views",
    # Views.
    "views never written": r"have no measured bin",
    "views of NaN": r"have no measured bin|NaN or infinite",
    "aborted within a view": r"had not been written|have no measured bin",
    "beam off": r"have no measured bin",
    "frozen frame": r"have no measured bin",
    "weak beam": r"weaker beam",
    # Frames.
    "flats of twice the exposure": r"beam is weaker",
    "flats of half the exposure": r"negative as a whole",
    "zinger in a flat": r"outlying values",
    "dark among the flats": r"of the level of the beam",
    "flat among the darks": r"of the level of the beam",
    "swapped groups": r"not brighter",
    "no flats": r"no flat frame",
    "no darks": r"no dark frame",
    "empty group": r"empty",
    "NaN in a flat": r"NaN",
}
_INTEGER_FAULTS = {"saturated", "wrapped"}
_FLOAT_FAULTS = {
    "NaN",
    "NaN, masked",
    "infinite",
    "views of NaN",
    "negative line integrals",
    "NaN in a flat",
    "line integrals stated as transmission",
}
_COUNT_FAULTS = {
    "counts without frames",
    "counts stated as transmission",
    "zinger in a flat",
    "dark among the flats",
    "flat among the darks",
    "swapped groups",
    "no flats",
    "no darks",
    "empty group",
    "NaN in a flat",
    "beam off",
    "weak beam",
    "flats of twice the exposure",
    "flats of half the exposure",
}
#: Fewest views of a scan in which a pixel dies half way: of fewer views after that, chance may be the cause.
LEAST_DYING = 24
#: Views that a fault adds to those of the shape.
EXTRA_VIEWS = 5
_EXTRA_FAULTS = {"views never written", "views of NaN", "aborted within a view", "beam off", "frozen frame"}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One scan file."""

    shape: tuple[int, int, int] = SHAPES[0]
    format: str = "npz"
    kind: str = "absorption"
    dtype: str = "<f4"
    angles: str = "half turn"
    unit: str = "deg"
    unit_stated: bool = True
    unit_name: int = 0
    order: tuple[int, int, int] = (0, 1, 2)
    offset: float = 0.0
    scale: float = 1.0
    noise: float = 0.0
    fault: str = "none"
    seed: int = 0
    lazy: bool = False
    center: str = "known"

    @property
    def words(self) -> str:
        """Regular expression of the words that excuse a wrong volume or a refusal."""
        words = FAULTS[self.fault]
        if self.angles == "two turns" and not self.unit_stated:
            words += "|plausible range"
        return words


@dataclasses.dataclass(frozen=True)
class Case:
    """A written scan file."""

    path: Path
    arguments: dict[str, Any]
    theta_deg: np.ndarray
    center: float
    sinograms: np.ndarray
    truth: np.ndarray
    unit: float


def plain_recipe(fault: str) -> Recipe:
    """A recipe with this fault and little else."""
    kind, dtype = ("counts", "<u2") if fault in _COUNT_FAULTS | _INTEGER_FAULTS else ("absorption", "<f4")
    if fault == "transmission without a statement":
        kind = "transmission"
    if fault in _FLOAT_FAULTS:
        dtype = "<f4"
    if fault == "wrapped":
        dtype = "<i2"
    unit = {"radians without a unit": "rad", "milliradians without a unit": "mrad"}.get(fault, "deg")
    return Recipe(
        format="dxchange",
        kind=kind,
        dtype=dtype,
        angles="negative" if fault == "negative angles as uint16" else "half turn",
        unit=unit,
        unit_stated=unit == "deg",
        order=(0, 2, 1) if fault == "order without a statement" else (0, 1, 2),
        noise=0.003,
        fault=fault,
    )


@st.composite
def recipes(draw, shapes=SHAPES) -> Recipe:
    """Recipes whose parts fit together."""
    fewest = min(views for views, *_ in shapes)
    faults = [fault for fault in FAULTS if fault != "pixel that dies" or fewest >= LEAST_DYING]
    fault = draw(st.sampled_from(["none"] * 12 + faults))
    kinds = ["counts"] if fault in _COUNT_FAULTS else KINDS
    if fault in ("negative line integrals", "line integrals stated as transmission"):
        kinds = ["absorption"]
    elif fault == "transmission without a statement":
        kinds = ["transmission"]
    elif fault in _INTEGER_FAULTS:
        kinds = ["counts"]
    kind = draw(st.sampled_from(kinds))
    formats = FORMATS
    if kind == "counts" and fault != "counts without frames":
        formats = ["npz", "dxchange", "nxtomo"]
    if fault in ("radians without a unit", "milliradians without a unit", "unknown unit"):
        formats = ["dxchange", "nxtomo", "tiff"]
    if fault == "empty group":
        formats = ["npz", "dxchange"]
    format = draw(st.sampled_from(formats))
    types = FLOATS + INTEGERS if kind != "transmission" else FLOATS
    if fault in _FLOAT_FAULTS:
        types = FLOATS
    if fault in _INTEGER_FAULTS:
        types = ["<i2", ">i2"] if fault == "wrapped" else ["u1", "<u2", ">i2"]
    dtype = draw(st.sampled_from(types))
    angles = draw(st.sampled_from([*ANGLES, "half turn", "half turn", "missing wedge"]))
    unit = draw(st.sampled_from(["deg", "deg", *UNITS]))
    stated = format == "npz" or unit != "deg" or draw(st.booleans())
    order = (0, 1, 2)
    if format in ("dxchange", "nxtomo") or fault == "order without a statement":
        order = draw(st.sampled_from([(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)]))
    if fault == "negative angles as uint16":
        angles, unit = "negative", "deg"
        stated = format == "npz" or draw(st.booleans())
    if fault == "order without a statement":
        order = draw(st.sampled_from([(0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)]))
    if fault == "radians without a unit":
        unit, stated = "rad", False
    if fault == "milliradians without a unit":
        unit, stated = "mrad", False
    if fault == "unknown unit":
        stated = True
    floating = dtype[-2] == "f"
    return Recipe(
        shape=draw(st.sampled_from(shapes)),
        format=format,
        kind=kind,
        dtype=dtype,
        angles=angles,
        unit=unit,
        unit_stated=stated,
        unit_name=draw(st.integers(0, 2)),
        order=order,
        offset=draw(st.sampled_from(OFFSETS)),
        scale=draw(st.sampled_from(SCALES)) if kind == "absorption" and floating else 1.0,
        noise=draw(st.sampled_from([0.0, 0.003])),
        fault=fault,
        seed=draw(st.integers(0, 99)),
        lazy=draw(st.booleans()),
        center="known" if fault != "none" or angles not in OPPOSITE else draw(st.sampled_from(CENTERS)),
    )


def line_integrals(theta_deg: np.ndarray, columns: int, center: float, radius: float, fine: int = 4):
    """Line integrals (views, columns) of :data:`ELLIPSES`, averaged over each bin; THICK at most."""
    theta = np.deg2rad(theta_deg)
    t = (np.arange(columns)[:, None] + (np.arange(fine) + 0.5) / fine - 0.5 - center).ravel()
    out = np.zeros((len(theta), columns))
    for x, y, a, b, turned, value in ELLIPSES:
        across = theta - np.deg2rad(turned)
        width = radius * np.hypot(a * np.cos(across), b * np.sin(across))[:, None]
        u = (t - radius * (x * np.cos(theta) + y * np.sin(theta))[:, None]) / width
        chord = 4 / 3 * radius**2 * a * b / width * np.maximum(1 - u**2, 0) ** 1.5
        out += value * chord.reshape(len(theta), columns, fine).mean(axis=2)
    return THICK * out / (1.3 * radius)


def image(columns: int, radius: float, fine: int = 4) -> np.ndarray:
    """The object (columns, columns), averaged over each pixel."""
    k = ((np.arange(columns * fine) + 0.5) / fine - columns / 2) / radius
    out = np.zeros((columns * fine, columns * fine))
    for x, y, a, b, turned, value in ELLIPSES:
        along, up = k[None, :] - x, -k[:, None] - y
        cosine, sine = math.cos(math.radians(turned)), math.sin(math.radians(turned))
        r2 = ((along * cosine + up * sine) / a) ** 2 + ((up * cosine - along * sine) / b) ** 2
        out += value * np.maximum(1 - r2, 0)
    return THICK * out.reshape(columns, fine, columns, fine).mean(axis=(1, 3)) / (1.3 * radius)


def write(recipe: Recipe, folder: Path) -> Case:
    """Writes the file of a recipe."""
    rng = np.random.default_rng(recipe.seed)
    views, rows, columns = recipe.shape
    center = (columns - 1) / 2 + recipe.offset
    radius = 0.95 * (min(center, columns - 1 - center) + 0.5)
    theta = ANGLES[recipe.angles](views)
    factors = np.array(ROWS[:rows])
    p = line_integrals(theta, columns, center, radius)[:, None, :] * factors[:, None]
    truth = factors[:, None, None] * image(columns, radius)
    sinograms = p
    if recipe.fault in _EXTRA_FAULTS:
        # The views of the shape are those that remain.
        more = theta[-1] + np.arange(1, EXTRA_VIEWS + 1)
        extra = theta[:EXTRA_VIEWS] if recipe.angles == "unsorted" else more
        theta = np.concatenate([theta, extra])
        p = np.concatenate([p, line_integrals(extra, columns, center, radius)[:, None, :] * factors[:, None]])
    if recipe.fault == "one angle for all views":
        theta = np.full_like(theta, 30.0)
    values, frames, factor = _detect(recipe, p, rng)
    truth, sinograms = factor * truth, factor * sinograms
    values, frames = _damage(recipe, values, frames, rng)
    arguments: dict[str, Any] = {"center": center}
    if recipe.kind == "transmission" and recipe.fault != "transmission without a statement":
        arguments["data"] = "transmission"
    if recipe.fault in ("line integrals stated as transmission", "counts stated as transmission"):
        arguments["data"] = "transmission"
    if recipe.fault == "NaN, masked":
        arguments["mask_nan"] = True
    if recipe.fault in ("no flats", "no darks", "empty group"):
        arguments["data"] = "counts"
    if recipe.center == "auto":
        del arguments["center"]
    path = _WRITERS[recipe.format](recipe, folder, values, frames, _stored_angles(recipe, theta), arguments)
    return Case(path, arguments, ANGLES[recipe.angles](views), center, sinograms, truth, factor)


def _detect(recipe: Recipe, p: np.ndarray, rng: np.random.Generator):
    """Stored numbers of line integrals, flat and dark frames, and the unit of the line integrals."""
    dtype = np.dtype(recipe.dtype)
    full = {"u1": 200.0, "u2": 40000.0, "i2": 30000.0, "u4": 1e6, "i4": 1e5}.get(recipe.dtype[-2:], 1.0)
    noise = recipe.noise * rng.standard_normal(p.shape)
    if recipe.kind == "absorption":
        factor = recipe.scale if dtype.kind == "f" else full / (1.1 * p.max())
        return _cast(factor * (p + THICK * noise), dtype), {}, factor
    if recipe.kind == "transmission":
        return _cast(np.exp(-p) + noise, dtype), {}, 1.0
    shape = p.shape[1:]
    full = 1.0e4 if dtype.kind == "f" else full
    if recipe.fault == "saturated":
        full = {"u1": 290.0, "u2": 75000.0, "i2": 38000.0}[recipe.dtype[-2:]]
    if recipe.fault == "wrapped":
        full = 34000.0
    dark = 0.04 * full * (1 + 0.2 * rng.random(shape))
    beam = 0.9 * full * (1 - 0.1 * rng.random(shape)) - dark

    def noisy(count):
        return recipe.noise * full * rng.standard_normal((count, *shape))

    values = dark + beam * np.exp(-p) + full * noise
    frames = {"flat": dark + beam + noisy(5), "dark": dark + noisy(3)}
    wrap = recipe.fault == "wrapped"
    return _cast(values, dtype, wrap), {k: _cast(v, dtype, wrap) for k, v in frames.items()}, 1.0


def _cast(values: np.ndarray, dtype: np.dtype, wrap: bool = False) -> np.ndarray:
    if dtype.kind == "f":
        return values.astype(dtype)
    if wrap:
        return np.round(values).astype(np.int64).astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(values), limits.min, limits.max).astype(dtype)


def _damage(recipe: Recipe, values: np.ndarray, frames: dict[str, np.ndarray], rng: np.random.Generator):
    """The stored numbers and frames with the fault of the recipe."""
    fault = recipe.fault
    values, frames = values.copy(), {name: frame.copy() for name, frame in frames.items()}
    views, rows, columns = values.shape
    # Within the sample: pixels of zeros beside air of zeros are air.
    row, column = int(rng.integers(rows)), columns // 2 + round(recipe.offset) + int(rng.integers(-4, 2))
    some = (rng.integers(views, size=4), rng.integers(rows, size=4), rng.integers(columns, size=4))
    last = slice(views - EXTRA_VIEWS, views)
    if fault == "negative line integrals":
        values = -values
    elif fault in ("NaN", "NaN, masked"):
        values[some] = np.nan
    elif fault == "infinite":
        values[some] = np.inf
    elif fault == "nothing but zeros":
        values[:] = 0
    elif fault == "dead pixel":
        values[:, row, column] = 0
    elif fault == "bright pixel":
        values[:, row, column] = values.max()
    elif fault == "three dead pixels":
        values[:, row, column : column + 3] = 0
    elif fault == "dead column":
        values[:, :, column] = 0
    elif fault == "views never written":
        values[last] = 0
    elif fault == "views of NaN":
        values[last] = np.nan
    elif fault == "aborted within a view":
        values[last] = 0
        if rows > 1:
            values[views - EXTRA_VIEWS - 1, rows // 2 :] = 0
    elif fault == "beam off":
        values[last] = frames["dark"][0]
    elif fault == "pixel that dies":
        values[views // 2 :, row, column] = values[views // 2, row, column]
    elif fault == "zingers":
        high = 20 * float(values.max())
        values[some] = high if values.dtype.kind == "f" else min(high, np.iinfo(values.dtype).max)
    elif fault == "frozen frame":
        values[last] = values[last.start - 1]
    elif fault == "weak beam":
        dark = frames["dark"][0].astype(float)
        values[views // 3] = (dark + 0.5 * (values[views // 3] - dark)).astype(values.dtype)
    elif fault == "flats of twice the exposure":
        dark = frames["dark"][0].astype(float)
        values = _cast(dark + 0.5 * (values - dark), values.dtype)
    elif fault == "flats of half the exposure":
        dark = frames["dark"][0].astype(float)
        frames["flat"] = _cast(dark + 0.5 * (frames["flat"] - dark), values.dtype)
    elif fault == "zinger in a flat":
        frames["flat"][2, row, column] = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 6e4
    elif fault == "dark among the flats":
        frames["flat"][1] = frames["dark"][0]
    elif fault == "flat among the darks":
        frames["dark"][1] = frames["flat"][0]
    elif fault == "swapped groups":
        frames = {"flat": frames["dark"], "dark": frames["flat"]}
    elif fault in ("counts without frames", "counts stated as transmission"):
        frames = {}
    elif fault == "no flats":
        frames = {"dark": frames["dark"]}
    elif fault == "no darks":
        frames = {"flat": frames["flat"]}
    elif fault == "empty group":
        frames["dark"] = frames["dark"][:0]
    elif fault == "NaN in a flat":
        frames["flat"][1, row, column] = np.nan
    return values, frames


def _stored_angles(recipe: Recipe, theta_deg: np.ndarray) -> np.ndarray:
    stored = theta_deg * UNITS[recipe.unit][0]
    if recipe.fault == "one angle too many":
        return np.append(stored, stored[-1] + 1)
    if recipe.fault == "an angle is NaN":
        stored[3] = np.nan
    if recipe.fault == "negative angles as uint16":
        return np.round(stored).astype(np.int64).astype(np.uint16)
    return stored


def _unit(recipe: Recipe) -> str:
    if recipe.fault == "unknown unit":
        return ["counts", "mm", "encoder"][recipe.unit_name]
    names = UNITS[recipe.unit][1]
    return names[recipe.unit_name % len(names)]


def _arrange(recipe: Recipe, stack: np.ndarray) -> np.ndarray:
    """The stack in the stored order; ``recipe.order`` names the axis at each place."""
    return np.ascontiguousarray(stack.transpose(recipe.order)) if recipe.order != (0, 1, 2) else stack


def _axes(recipe: Recipe) -> str:
    return ":".join("theta y x".split()[axis] for axis in recipe.order)


def _npz(recipe, folder, values, frames, angles, arguments):
    center = {"center": arguments.pop("center")} if "center" in arguments else {}
    name = f"theta_{recipe.unit}"
    if recipe.fault == "order without a statement":
        values = _arrange(recipe, values)
    np.savez(folder / "scan.npz", projections=values, **{name: angles}, **center, **frames)
    return folder / "scan.npz"


def _dxchange(recipe, folder, values, frames, angles, arguments):
    path = folder / "scan.h5"
    stated = recipe.fault != "order without a statement"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("exchange/data", data=_arrange(recipe, values))
        if stated and (recipe.order != (0, 1, 2) or recipe.seed % 2):
            if recipe.seed % 3:
                data.attrs["axes"] = _axes(recipe)
            else:
                for axis, name in enumerate(_axes(recipe).split(":")):
                    data.dims[axis].label = name
        for name, frame in frames.items():
            file[f"exchange/data_{'white' if name == 'flat' else name}"] = frame
            file[f"exchange/data_{'white' if name == 'flat' else name}"].attrs["axes"] = "frame:y:x"
        file["exchange/theta"] = angles
        if recipe.unit_stated:
            file["exchange/theta"].attrs["units"] = _unit(recipe)
    return path


def _nxtomo(recipe, folder, values, frames, angles, arguments):
    path = folder / "scan.nxs"
    flat, dark = (
        frames.get(name, np.empty((0, *values.shape[1:]), values.dtype)) for name in ("flat", "dark")
    )
    if frames.get("dark") is not None and not dark.size:
        dark = dark[:0]
    stack = np.concatenate([flat, dark, values])
    keys = np.repeat([1, 2, 0], [len(flat), len(dark), len(values)])
    extra = np.full(len(flat) + len(dark), angles[0])
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry/instrument/detector")
        entry["data"], entry["image_key"] = _arrange(recipe, stack), keys
        if recipe.order != (0, 1, 2) and recipe.fault != "order without a statement":
            entry["data"].attrs["axes"] = _axes(recipe)
        every = recipe.seed % 2 and recipe.fault != "one angle too many"
        file["entry/sample/rotation_angle"] = np.concatenate([extra, angles]) if every else angles
        if recipe.unit_stated:
            file["entry/sample/rotation_angle"].attrs["units"] = _unit(recipe)
    return path


def _tiff(recipe, folder, values, frames, angles, arguments):
    path = folder / "scan.tif"
    if recipe.fault == "order without a statement":
        values = _arrange(recipe, values)
    order = ">" if values.dtype.str[0] == ">" else "<"
    tifffile.imwrite(path, values, byteorder=order, photometric="minisblack", metadata=None)
    header = f"theta [{_unit(recipe)}]" if recipe.unit_stated else ["angle", None, "theta"][recipe.seed % 3]
    lines = [header] if header else []
    (folder / "angles.csv").write_text("\n".join([*lines, *(repr(float(a)) for a in angles)]) + "\n")
    arguments["angles"] = folder / "angles.csv"
    return path


_WRITERS = {"npz": _npz, "dxchange": _dxchange, "nxtomo": _nxtomo, "tiff": _tiff}
