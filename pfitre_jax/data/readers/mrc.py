"""Tilt series of electron tomography: MRC files (``.mrc``, ``.st``, ``.ali``) and the files beside them.

Sections are views, in the order of the file; y is the row and x the column. Beside ``scan.st`` lie

- the angles: ``scan.tlt`` (refined), else those of ``scan.aln``, else ``scan.rawtlt``, degrees;
- the alignment: ``scan.xf`` (IMOD), else ``scan.aln`` (AreTomo), which are not applied to ``.ali`` and
  ``_ali.mrc`` files, because these are aligned.
"""

from __future__ import annotations

import warnings as python_warnings
from pathlib import Path

import numpy as np

from pfitre_jax.data.optional_package import import_optional
from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.readers.angle_units import Angles
from pfitre_jax.data.readers.angles import StoredAngles, choose_angles, read_angle_file
from pfitre_jax.data.readers.file_checks import check_memory
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.reader import Reader
from pfitre_jax.data.readers.scan_file import ScanFile
from pfitre_jax.data.readers.tilt_alignment import AretomoAlignment, read_aln, read_xf
from pfitre_jax.data.view_transforms import ViewTransforms

#: Micrometres in an angstrom.
_ANGSTROM = 1e-4


class MrcReader(Reader):
    """Reads tilt series with the package mrcfile. Views that AreTomo left out as dark are left out."""

    name = "MRC"
    description = "a tilt series, one section for each view"
    magic = ()
    suffixes = (".mrc", ".st", ".ali", ".mrcs", ".preali")

    def companions(self, path: Path) -> tuple[Path, ...]:
        """Angles and alignments beside the file."""
        beside = (_beside(path, suffix) for suffix in (".tlt", ".rawtlt", ".xf", ".aln"))
        return tuple(companion for companion in beside if companion is not None)

    def read(self, file: ScanFile, options: ReadOptions) -> RawScan:
        """Contents of the file, see :meth:`pfitre_jax.data.readers.reader.Reader.read`.

        Raises:
            ValueError: If mrcfile is not installed; the file is damaged or no stack; an alignment beside it
                is damaged; or there are no angles.
        """
        path = file.path
        shape, dtype, pixel_size = _header(path)
        aln, xf = _beside(path, ".aln"), _beside(path, ".xf")
        alignment = xf or aln
        aretomo = None if aln is None or xf is not None or _is_aligned(path) else read_aln(aln)
        sections = np.arange(shape[0])
        transforms = None
        provenance = {"file": str(path), "format": self.name}
        notes = []
        if alignment is None:
            if not _is_aligned(path):
                notes.append("there is no alignment (.xf, .aln); the tilt axis is taken to be parallel to y")
        elif _is_aligned(path):
            notes.append(f"{alignment.name} was not applied, because {path.name} is aligned by its name")
        else:
            provenance["alignment of the file"] = alignment.name
            transforms = read_xf(alignment) if aretomo is None else aretomo.transforms
        if aretomo is not None:
            sections = aretomo.sections
            if len(sections) < shape[0]:
                notes.append(f"{shape[0] - len(sections)} dark views that {aln} does not align were left out")
        _check_views(path, sections, transforms, shape[0])
        read, origin = _angles(path, options, aretomo, aln)
        theta = read.theta_rad
        if len(theta) == shape[0]:
            theta = theta[sections]
        return RawScan.create(
            _stack(path, sections, shape, dtype),
            theta,
            kind=options.kind,
            provenance=provenance | {"angles": origin},
            warnings=(*read.warnings, *notes),
            pixel_size=pixel_size,
            transforms=transforms,
            order_stated=True,
        )


def _is_aligned(path: Path) -> bool:
    return path.suffix.lower() == ".ali" or path.stem.lower().endswith("_ali")


def _beside(path: Path, suffix: str) -> Path | None:
    """The file of this suffix beside the scan: of the same stem, or with the suffix behind the name."""
    candidates = (path.with_suffix(suffix), path.with_name(path.name + suffix))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _check_views(path: Path, sections: np.ndarray, transforms: ViewTransforms | None, views: int) -> None:
    count = int(sections.max()) + 1 if sections.max() >= views or transforms is None else len(transforms)
    if count > views or (transforms is not None and len(transforms) != len(sections)):
        raise ValueError(
            f"the alignment beside {path} has {count} views, the file {views}; expected one line for each "
            "view: remove it, or copy the one of this scan"
        )


def _angles(
    path: Path, options: ReadOptions, aretomo: AretomoAlignment | None, aln: Path | None
) -> tuple[Angles, str]:
    """The angles of the caller, else of the files beside the scan, else of its extended header."""
    refined, raw = _beside(path, ".tlt"), _beside(path, ".rawtlt")
    if options.angles is None and refined is not None:
        return read_angle_file(refined, options.angle_unit), str(refined)
    if options.angles is None and aretomo is not None:
        stored = StoredAngles(f"the column TILT of {aln}", aretomo.tilt_deg, "deg")
        return choose_angles(options, stored, path, "MRC")
    if options.angles is None and raw is not None:
        return read_angle_file(raw, options.angle_unit), str(raw)
    return choose_angles(options, StoredAngles("a file .tlt or .rawtlt beside it"), path, "MRC")


def _open(path: Path):
    """The file, mapped into memory.

    Raises:
        ValueError: If mrcfile is not installed, or the file is damaged.
    """
    mrcfile = import_optional("mrcfile", f"{path} is an MRC file, which")
    try:
        with python_warnings.catch_warnings():
            # Programs write headers that do not follow the standard in every field.
            python_warnings.simplefilter("ignore")
            opened = mrcfile.mmap(path, mode="r", permissive=True)
    except Exception as error:  # mrcfile and numpy raise many kinds for a damaged file
        raise ValueError(f"{path} is a damaged or truncated MRC file ({error}); copy it again") from error
    if opened.data is None:
        opened.close()
        raise ValueError(f"{path} is a damaged or truncated MRC file; copy it again")
    return opened


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype, float | None]:
    """Shape and type of the data, and the pixel size, micrometres."""
    opened = _open(path)
    try:
        shape, dtype = opened.data.shape, opened.data.dtype
        size = float(opened.voxel_size.x)
    finally:
        opened.close()
    # 1 angstrom is what programs write that do not know the size.
    known = np.isfinite(size) and size > 0 and size != 1.0
    if len(shape) != 3:
        raise ValueError(f"{path} has the shape {shape}; expected a stack (views, y, x)")
    return shape, dtype, size * _ANGSTROM if known else None


def _stack(path: Path, sections: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> LazyStack:
    def read(rows: slice) -> np.ndarray:
        count = len(range(*rows.indices(shape[1])))
        check_memory(path, len(sections) * count * shape[2] * dtype.itemsize, "sections")
        opened = _open(path)
        try:
            return np.stack([np.array(opened.data[section, rows]) for section in sections])
        finally:
            opened.close()

    return LazyStack((len(sections), *shape[1:]), dtype, read)
