"""Order of the axes of projections in an HDF5 file: views, rows and columns, as the file states it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import h5py
import numpy as np

#: Order in which projections are read if the file states none.
DEFAULT_ORDER = (0, 1, 2)

_ROLES = {
    "views": r"(sample_?)?(rotation|rot|projection|proj|tilt)?_?(theta|angles?)(_(deg|rad))?"
    r"|rot(ation)?|tilts?|omega|phi|proj(ection)?s?|views?|n?frames?|images?|time|nviews?",
    "rows": r"(det(ector)?_?)?(y|v|z|rows?|height|vertical|slices?|ny|dety)"
    r"(_(pixel_)?(offset|position|index))?",
    "columns": r"(det(ector)?_?)?(x|u|h|cols?|columns?|width|horizontal|nx|detx|channels?)"
    r"(_(pixel_)?(offset|position|index))?",
}


def axis_order(file: h5py.File, name: str, datasets: dict[str, h5py.Dataset]) -> tuple[int, ...] | None:
    """Axes of the views, rows and columns of a dataset, or None if the file states no order.

    It is stated, in this order of precedence, by the attribute ``axes`` of the dataset ("theta:y:x"), by the
    attributes ``axes`` and ``<axis>_indices`` of an NXdata group that holds the dataset or a link to it, or
    by labels or scales of its dimensions.

    Args:
        file: The open file.
        name: Path of the dataset.
        datasets: Every dataset by its path.

    Raises:
        ValueError: If the names of the axes contradict each other or the dataset.
    """
    dataset = datasets[name]
    statements = [("attribute axes", names_of_axes(dataset.attrs.get("axes")))]
    for path, other in datasets.items():
        if path == name or (other.shape == dataset.shape and other == dataset):
            group = file[path].parent
            statements.append((f"{group.name}: attribute axes", _names_in_group(group, path.split("/")[-1])))
    statements.append(("dimension scales", _names_of_dimensions(dataset)))
    for origin, names in statements:
        roles = [_role(axis) for axis in names]
        if roles.count("rows") > 1:
            # Beside y, z is the axis along which images are stacked.
            roles = [None if name.lower() == "z" else role for name, role in zip(names, roles, strict=True)]
        if not any(roles):
            continue
        place = f"{file.filename}: {dataset.name}, {origin} {':'.join(names)!r}"
        if len(names) != dataset.ndim or dataset.ndim != 3:
            raise ValueError(f"{place} names {len(names)} axes of {dataset.ndim}; expected one name for each")
        return _order(roles, place)
    return None


def names_of_axes(attribute: object) -> list[str]:
    """Names in an attribute: "theta:y:x", '["theta", "y", "x"]' or an array of names."""
    if attribute is None:
        return []
    words = [
        word.decode(errors="replace") if isinstance(word, bytes) else str(word)
        for word in np.asarray(attribute).ravel()
    ]
    if len(words) == 1:
        words = [word for word in re.split(r"[\s:,;\[\]()\"']+", words[0]) if word]
    return [word.strip() for word in words]


def _names_in_group(group: h5py.Group, signal: str) -> list[str]:
    """Names of the axes of the signal of an NXdata group."""
    stated = names_of_axes(group.attrs.get("signal"))
    if stated and stated != [signal]:
        return []
    names = names_of_axes(group.attrs.get("axes"))
    indices = {
        key.removesuffix("_indices"): np.asarray(value).ravel()
        for key, value in group.attrs.items()
        if key.endswith("_indices") and _role(key.removesuffix("_indices"))
    }
    placed = {int(index[0]): name for name, index in indices.items() if index.size == 1}
    if not placed:
        return names
    count = group[signal].ndim
    return [placed.get(axis, names[axis] if len(names) == count else ".") for axis in range(count)]


def _names_of_dimensions(dataset: h5py.Dataset) -> list[str]:
    """Label of each dimension, else the name of its scale."""
    names = []
    for dimension in dataset.dims:
        label = dimension.label or next(iter(dimension.keys()), "")
        if not label and len(dimension):
            label = dimension[0].name.rsplit("/", 1)[-1]
        names.append(str(label) or ".")
    return names


def _role(name: str) -> str | None:
    word = name.strip().lower().rsplit("/", 1)[-1].replace("-", "_").replace(" ", "_")
    return next((role for role, pattern in _ROLES.items() if re.fullmatch(pattern, word)), None)


def _order(roles: list[str | None], place: str) -> tuple[int, ...]:
    """Axes of views, rows and columns; the axes without a role keep the order of the roles that are left."""
    known = [role for role in roles if role is not None]
    if len(set(known)) < len(known):
        raise ValueError(f"{place}: two axes have the same meaning; expected views, rows and columns")
    left = iter(role for role in _ROLES if role not in known)
    complete = [role or next(left) for role in roles]
    return tuple(complete.index(role) for role in _ROLES)


def arrange_frames(
    frames: np.ndarray,
    own: tuple[int, ...] | None,
    order: tuple[int, ...] | None,
    shape: Iterable[int],
    place: str,
) -> np.ndarray:
    """Flat or dark frames as (n, rows, columns).

    Args:
        frames: As stored; other than 3D ones are returned as they are.
        own: Order of their axes that the file states, or None.
        order: Order of the axes of the projections that the file states, or None.
        shape: Numbers of rows and columns of the projections.
        place: Dataset of the frames, for the message.

    Raises:
        ValueError: If the frames fit in the order of the projections and in the default order.
    """
    if own is not None and frames.ndim == 3:
        return frames.transpose(own)
    if order is None or order == DEFAULT_ORDER:
        return frames
    if frames.ndim == 2:
        # Rows and columns, in the order in which the projections have them.
        swapped = order[1] > order[2]
        return frames.T if swapped else frames
    if frames.ndim != 3:
        return frames
    arranged = frames.transpose(order)
    fits, default = arranged.shape[1:] == tuple(shape), frames.shape[1:] == tuple(shape)
    if fits and default:
        raise ValueError(
            f"{place} of shape {frames.shape} may be (frames, rows, columns) or have the axes of the "
            "projections; expected an attribute 'axes'"
        )
    return arranged if fits else frames
