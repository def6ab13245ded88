"""Real chips: layouts (GDSII or layer masks) with the heights of their layers, cut in the plane or upright.

Lengths are in micrometres. Reading GDSII needs gdstk: ``pip install '.[layouts]'``.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import importlib.util
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from pfitre_jax.twin.scenes.bank import SIDE, Bank
from pfitre_jax.twin.scenes.process_stacks import STACKS, Layer, Stack
from pfitre_jax.twin.scenes.raster import averaging_matrix, coverage

#: Range of the pitch of the finest wires, in pixels of a field of 112, as in the procedural circuits.
PITCH = (3.0, 18.0)
#: Range of the height of the stack of layers in a vertical cut, as a share of the tile.
HEIGHT = (0.45, 1.1)
#: Share of the tiles that are vertical cuts.
SECTIONS = 0.4
#: Number of rows of standard cells that are placed if a file is a cell library.
CELL_ROWS = 14
#: Smallest mean coverage by metal and smallest length of edges, in sides of the tile, of a cut: at least two
#: wires across it.
METAL, EDGES = 0.05, 4.0
# Number of cuts to try before a layout counts as empty.
_TRIALS = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Polygons:
    """A layout of polygons.

    Attributes:
        stack: The process.
        polygons: Polygons of each layer of the stack, arrays (corners, 2), um.
        boxes: Bounding boxes of the polygons of each layer, (polygons, 4), ``x0, y0, x1, y1``.
        bounds: Bounding box of the layout, ``x0, y0, x1, y1``, um.
    """

    stack: Stack
    polygons: tuple[tuple[np.ndarray, ...], ...]
    boxes: tuple[Float[np.ndarray, "count 4"], ...]
    bounds: tuple[float, float, float, float]

    @functools.cached_property
    def drawn(self) -> list[int]:
        """Indices of the layers of the stack that are not empty."""
        return [k for k, polygons in enumerate(self.polygons) if polygons]

    def mask(
        self, k: int, x: float, y: float, pixel: tuple[float, float], shape: tuple[int, int]
    ) -> Float[np.ndarray, "ny nx"]:
        """Share of each pixel of a grid that a layer covers: (ny, nx).

        Args:
            k: Index of the layer in the stack.
            x: Left edge of the grid, um.
            y: Lower edge of the grid, um.
            pixel: Sides of a pixel along ``x`` and ``y``, um.
            shape: Shape (ny, nx) of the grid.
        """
        boxes = self.boxes[k]
        ny, nx = shape
        near = (boxes[:, 0] < x + nx * pixel[0]) & (boxes[:, 2] > x)
        near &= (boxes[:, 1] < y + ny * pixel[1]) & (boxes[:, 3] > y)
        inside = [self.polygons[k][i] for i in np.flatnonzero(near)]
        return coverage(_union(inside), x, y, pixel, shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Masks:
    """A layout of layer masks.

    Attributes:
        stack: The process.
        packed: (layers, rows, bytes), bits along each row; row 0 is at the lowest ``y``.
        pixel: Side of a pixel, um.
        bounds: Bounding box of the layout, ``x0, y0, x1, y1``, um.
    """

    stack: Stack
    packed: np.ndarray
    pixel: float
    bounds: tuple[float, float, float, float]

    @functools.cached_property
    def drawn(self) -> list[int]:
        """Indices of the layers of the stack that are not empty."""
        return [k for k, layer in enumerate(self.packed) if layer.any()]

    def mask(
        self, k: int, x: float, y: float, pixel: tuple[float, float], shape: tuple[int, int]
    ) -> Float[np.ndarray, "ny nx"]:
        """Share of each pixel of a grid that a layer covers, see :meth:`Polygons.mask`."""
        ny, nx = shape
        first, last = int(y / self.pixel), int((y + ny * pixel[1]) / self.pixel) + 1
        rows = np.unpackbits(self.packed[k, first:last], axis=-1)
        left, right = int(x / self.pixel), int((x + nx * pixel[0]) / self.pixel) + 1
        rows = rows[:, left:right].astype(np.float32)
        down = averaging_matrix(y / self.pixel - first, ny * pixel[1] / self.pixel, rows.shape[0], ny)
        across = averaging_matrix(x / self.pixel - left, nx * pixel[0] / self.pixel, rows.shape[1], nx)
        return (down @ rows @ across.T).astype(np.float32)


def voxels(
    layout: Polygons | Masks,
    x: float,
    y: float,
    pixel: tuple[float, float],
    shape: tuple[int, int],
    edges: ArrayLike,
) -> Float[np.ndarray, "rows ny nx"]:
    """Share of metal in each voxel of a grid: (slabs, ny, nx).

    A slab that contains parts of several layers is their mean, weighted by height. One slab is a slice in the
    plane, and one row of pixels is a vertical cut.

    Args:
        layout: The layout.
        x: Left edge of the grid, um.
        y: Lower edge of the grid, um.
        pixel: Sides of a pixel along ``x`` and ``y``, um.
        shape: Shape (ny, nx) of a slab.
        edges: (slabs + 1,), heights of the surfaces of the slabs, increasing, um.
    """
    shares = layout.stack.shares(edges)
    volume = np.zeros((len(shares), *shape), np.float32)
    for k in layout.drawn:
        if shares[:, k].any():
            volume += shares[:, k, None, None] * layout.mask(k, x, y, pixel, shape)
    return np.minimum(volume, 1.0)


def read_layout(path: str | os.PathLike, stack: Stack | None = None, seed: int = 0) -> Polygons | Masks:
    """Reads a layout.

    Args:
        path: A GDSII file (``.gds``, gzipped or not), or layer masks: a ``.npz`` file with ``packed``
            (layers, rows, bytes), ``width``, ``pixel_um``, ``layer_names``, ``z_bottom_um``, ``z_top_um``.
        stack: Process of a GDSII file. None: the one of :data:`STACKS` whose layers contain most polygons.
        seed: Seed of the placement of cells, if the file is a library of standard cells.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a layout, or is GDSII and gdstk is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no layout at {path}; expected a GDSII file or layer masks (.npz)")
    if path.suffix == ".npz":
        return _read_masks(path)
    library = _read_gds(path)
    stack = _recognise(library, path) if stack is None else stack
    top = library.top_level()
    cell = top[0] if len(top) == 1 else _rows_of_cells(library, stack, path, seed)
    polygons = tuple(
        tuple(p.points for p in cell.get_polygons(layer=layer.gds[0], datatype=layer.gds[1]))
        for layer in stack.layers
    )
    boxes = tuple(
        np.array([[*p.min(axis=0), *p.max(axis=0)] for p in layer]).reshape(-1, 4) for layer in polygons
    )
    every = np.concatenate(boxes)
    if len(every) == 0:
        raise ValueError(f"{path} has nothing on the layers of {stack.name}; expected its wiring there")
    (x0, y0), (x1, y1) = every[:, :2].min(axis=0), every[:, 2:].max(axis=0)
    return Polygons(stack, polygons, boxes, (float(x0), float(y0), float(x1), float(y1)))


def has_gdstk() -> bool:
    """Returns whether gdstk is installed, which reads GDSII files."""
    return importlib.util.find_spec("gdstk") is not None


def require_gdstk(paths: Sequence) -> None:
    """Raises ``ValueError`` if a path is a GDSII file and gdstk, which reads it, is not installed."""
    streams = [path for path in paths if Path(path).suffix != ".npz"]
    if streams and not has_gdstk():
        raise ValueError(
            f"{streams[0]} is GDSII and gdstk is not installed; expected it to read the file: "
            "pip install '.[layouts]' in a copy of the repository"
        )


def tile(
    layout: Polygons | Masks, rng: np.random.Generator, side: int = SIDE
) -> Float[np.ndarray, "side side"]:
    """Cuts a random square from a layout: (side, side), float32, values in [0, 1].

    A cut lies in the plane, like a row of a scan, or is vertical through all layers (:data:`SECTIONS`).

    Args:
        layout: The layout.
        rng: Random generator.
        side: Side of the tile, pixels.

    Raises:
        ValueError: If the layout is almost empty.
    """
    # One layer has nothing above it.
    vertical = rng.random() < SECTIONS and len(layout.drawn) > 2
    for _ in range(_TRIALS):
        image = (_section if vertical else _slice)(layout, rng, side)
        if image.mean() > METAL and _edges(image) > EDGES:
            return image
    raise ValueError(
        f"{_TRIALS} cuts of a {layout.stack.name} layout are bare; expected a layout with wiring"
    )


def bank(paths: Sequence, count: int, side: int = SIDE, seed: int = 0) -> Bank:
    """Returns a bank of ``count`` tiles, equally many from each layout; a seed gives the same tiles."""
    layouts = [read_layout(path, seed=seed) for path in paths]
    rng = np.random.default_rng([seed, 1])
    return Bank.create(np.stack([tile(layouts[i % len(layouts)], rng, side) for i in range(count)]))


def _slice(layout, rng, side):
    stack = layout.stack
    wide, high = _extent(layout)
    low, top = np.log(PITCH)
    pixel = stack.pitch * 112 / (side * np.exp(rng.uniform(low, top)))
    pixel = min(pixel, min(wide, high) / side)
    bottom, top = layer_heights(layout)
    # A row of the scan is about as high as its pixels are wide.
    row = pixel * side / 112 * np.exp(rng.uniform(np.log(0.5), np.log(2)))
    z = rng.uniform(bottom, top)
    x, y = _corner(layout, rng, side * pixel, side * pixel)
    return voxels(layout, x, y, (pixel, pixel), (side, side), [z - row / 2, z + row / 2])[0]


def _section(layout, rng, side):
    bottom, top = layer_heights(layout)
    along_x = rng.random() < 0.5
    wide, high = _extent(layout)
    length = wide if along_x else high
    low, up = np.log(HEIGHT)
    pixel = min((top - bottom) / (side * np.exp(rng.uniform(low, up))), length / side)
    thick = pixel * side / 112
    size = (side * pixel, thick) if along_x else (thick, side * pixel)
    x, y = _corner(layout, rng, *size)
    # The rest of the tile's height lies below and above the stack.
    z = bottom - (side * pixel - (top - bottom)) * rng.uniform(0.3, 0.7)
    edges = z + pixel * np.arange(side + 1)
    shape = (1, side) if along_x else (side, 1)
    volume = voxels(layout, x, y, (pixel, thick) if along_x else (thick, pixel), shape, edges)
    # The highest row on top.
    return np.ascontiguousarray(volume.reshape(side, side)[::-1])


def _edges(image):
    """Sum of the absolute differences of neighbouring pixels over the side of the image."""
    return sum(float(np.abs(np.diff(image, axis=axis)).sum()) for axis in (0, 1)) / len(image)


def _extent(layout):
    x0, y0, x1, y1 = layout.bounds
    return x1 - x0, y1 - y0


def layer_heights(layout: Polygons | Masks) -> tuple[float, float]:
    """Lowest and highest surface of the layers that are not empty, um."""
    layers = [layout.stack.layers[k] for k in layout.drawn]
    return min(layer.bottom for layer in layers), max(layer.bottom + layer.thickness for layer in layers)


def _corner(layout, rng, wide, high):
    x0, y0, x1, y1 = layout.bounds
    return rng.uniform(x0, max(x1 - wide, x0)), rng.uniform(y0, max(y1 - high, y0))


def _union(polygons):
    """The polygons without their overlaps."""
    if len(polygons) < 2:
        return polygons
    import gdstk

    return [p.points for p in gdstk.boolean(polygons, [], "or", precision=1e-5)]


def _read_gds(path: Path):
    require_gdstk([path])
    import gdstk

    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise ValueError(f"{path} is a broken gzip file ({error}); expected GDSII in it") from error
    # Every GDSII stream begins with a HEADER record of six bytes; gdstk would print what it makes of others.
    if content[:4] != b"\x00\x06\x00\x02":
        raise ValueError(f"{path} is no GDSII file; expected one that begins with a HEADER record")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "layout.gds"
        plain.write_bytes(content)
        try:
            library = gdstk.read_gds(plain, unit=1e-6)
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{path} cannot be read as GDSII ({error}); is it complete?") from error
    if not library.cells:
        raise ValueError(f"{path} has no cells; expected a layout")
    return library


def _recognise(library, path: Path) -> Stack:
    """The stack whose layers hold most of the library's polygons."""
    drawn: dict[tuple[int, int], int] = {}
    for cell in library.cells:
        for layer in cell.polygons:
            drawn[layer.layer, layer.datatype] = drawn.get((layer.layer, layer.datatype), 0) + 1
    count = {name: sum(drawn.get(k.gds, 0) for k in stack.layers) for name, stack in STACKS.items()}
    best = max(count, key=count.__getitem__)
    if count[best] == 0:
        known = ", ".join(STACKS)
        layers = ", ".join(f"{a}/{b}" for a, b in sorted(drawn)) or "none"
        raise ValueError(f"{path} has the layers {layers}; expected those of {known}, or pass its stack")
    return STACKS[best]


def _rows_of_cells(library, stack: Stack, path: Path, seed: int):
    """A cell with rows of the library's cells, abutted at random, every second row upside down."""
    import gdstk

    sizes = []
    for cell in sorted(library.cells, key=lambda cell: cell.name):
        outline = cell.get_polygons(layer=stack.boundary[0], datatype=stack.boundary[1], depth=0)
        if len(outline) == 1:
            (x0, y0), (x1, y1) = outline[0].bounding_box()
            if abs(y1 - y0 - stack.row_height) < 1e-3 and x1 - x0 > 0:
                sizes.append((cell, x0, y0, x1 - x0))
    if not sizes:
        raise ValueError(
            f"{path} is a library, but none of its cells has an outline {stack.row_height:g} um high on "
            f"layer {stack.boundary[0]}/{stack.boundary[1]}; expected standard cells of {stack.name}"
        )
    rng = np.random.default_rng([seed, 2])
    floor, length = gdstk.Cell("rows"), CELL_ROWS * stack.row_height
    for row in range(CELL_ROWS):
        x, mirrored = 0.0, row % 2 == 1
        while x < length:
            cell, x0, y0, width = sizes[rng.integers(len(sizes))]
            base = (row + 1) * stack.row_height + y0 if mirrored else row * stack.row_height - y0
            floor.add(gdstk.Reference(cell, (x - x0, base), x_reflection=mirrored))
            x += width
    return floor


def _read_masks(path: Path) -> Masks:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            packed, width, pixel = arrays["packed"], int(arrays["width"]), float(arrays["pixel_um"])
            names, bottom, top = arrays["layer_names"], arrays["z_bottom_um"], arrays["z_top_um"]
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} holds no layer masks ({error}); expected packed, width, pixel_um, layer_names, "
            "z_bottom_um and z_top_um"
        ) from error
    gds = {stack: {layer.name: layer.gds for layer in stack.layers} for stack in STACKS.values()}
    owner = max(gds, key=lambda stack: sum(str(name) in gds[stack] for name in names))
    if not any(str(name) in gds[owner] for name in names):
        raise ValueError(f"{path} has the layers {', '.join(names)}; expected those of {', '.join(STACKS)}")
    layers = tuple(
        Layer(str(name), gds[owner].get(str(name), (0, 0)), float(z0), float(z1 - z0))
        for name, z0, z1 in zip(names, bottom, top, strict=True)
    )
    stack = dataclasses.replace(owner, layers=layers)
    return Masks(stack, packed, pixel, (0.0, 0.0, width * pixel, packed.shape[1] * pixel))
