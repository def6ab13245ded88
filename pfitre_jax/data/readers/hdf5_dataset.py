"""HDF5 files of an unknown layout, whose datasets the caller names."""

from __future__ import annotations

from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.hdf5_file import Hdf5File, damage_as_value_error
from pfitre_jax.data.readers.hdf5_folder import Hdf5FolderReader, MapPart, ViewFile
from pfitre_jax.data.readers.hdf5_reader import Hdf5Contents, Hdf5Reader
from pfitre_jax.data.readers.hdf5_values import check_dataset, find_angles
from pfitre_jax.data.readers.read_options import AXES, SELECTORS, ReadOptions
from pfitre_jax.data.readers.scan_file import ScanFile

_NO_THETA = "the file (theta_path='/PATH' names them)"


class Hdf5DatasetReader(Hdf5Reader):
    """Reads the dataset that the caller names; with four axes, one index of the element axis."""

    name = "HDF5 dataset"
    description = "HDF5 with the datasets that --dataset and --theta-path name"
    takes = frozenset(SELECTORS)
    requires = frozenset({"dataset"})

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """True for any HDF5 file."""
        return True

    def elements(self, file: ScanFile, options: ReadOptions) -> tuple[str, ...]:
        """The indices along the element axis, if the caller names one.

        Raises:
            ValueError: If there is no such dataset, or its axes do not fit the order.
        """
        name, names = (options.dataset or "").strip("/"), options.axis_order
        if names is None or "element" not in names:
            return ()
        with damage_as_value_error(file.path):
            check_dataset(file.hdf5, name, "dataset")
            file.hdf5.check_shape(name, len(names), {}, f"the axes {', '.join(names)} (axis_order)")
            return tuple(map(str, range(file.hdf5.datasets[name].shape[names.index("element")])))

    def contents(self, hdf5: Hdf5File, options: ReadOptions) -> Hdf5Contents:
        """The dataset, in the order of axes that the caller or the file states.

        Raises:
            ValueError: If there is no such dataset, or its axes do not fit the order.
        """
        name = (options.dataset or "").strip("/")
        check_dataset(hdf5, name, "dataset")
        names, channel = options.axis_order, _channel(options)
        fixed: dict[int, int] = {}
        if names is not None:
            hdf5.check_shape(name, len(names), {}, f"the axes {', '.join(names)} (axis_order)")
            order = tuple(names.index(axis) for axis in AXES)
            fixed = {names.index("element"): channel} if "element" in names else {}
        else:
            stated = hdf5.axis_order(name)
            order = stated or (0, 1, 2)
            hdf5.check_shape(
                name, 3, {}, "(views, y, x), or name the axes (axis_order='view,element,row,...')"
            )
        for axis, index in fixed.items():
            hdf5.check_index(name, axis, index)
        return Hdf5Contents(
            projections=hdf5.stack(name, order=order, fixed=fixed),
            angles=StoredAngles(_NO_THETA),
            dataset=f"/{name}",
            element=options.element,
            order_stated=names is not None or hdf5.axis_order(name) is not None,
        )


class Hdf5DatasetFolderReader(Hdf5FolderReader):
    """Reads a folder of HDF5 files whose dataset of one view the caller names."""

    name = "HDF5 datasets"
    description = "HDF5 files with the dataset of one view that --dataset names"
    takes = frozenset({"dataset", "theta_path", "element"})
    requires = frozenset({"dataset"})

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """True for any HDF5 file."""
        return True

    def view(self, hdf5: Hdf5File, options: ReadOptions, channel: str | None) -> ViewFile:
        """The dataset (y, x), or (element, y, x), and the angle that the caller names.

        Raises:
            ValueError: If there is no such dataset, or it has other axes.
        """
        name = (options.dataset or "").strip("/")
        check_dataset(hdf5, name, "dataset")
        fixed = {} if options.element is None else {0: _channel(options)}
        path = options.theta_path
        angle = StoredAngles(_NO_THETA) if path is None else find_angles(hdf5, path)
        return ViewFile(MapPart(name, fixed), angle)


def _channel(options: ReadOptions) -> int:
    """Index along the element axis.

    Raises:
        ValueError: If the caller does not state one.
    """
    word = options.element or "0"
    if not word.isdecimal():
        raise ValueError(
            f"element is {word!r}; expected its index along the element axis, counted from 0, because the "
            "names of the channels are not known"
        )
    return int(word)
