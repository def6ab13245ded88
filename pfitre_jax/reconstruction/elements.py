"""Several elements of a scan with one geometry: rotation axis, roll and alignment are those of all of them.

The geometry is estimated once, from the element with the largest signal-to-noise ratio or from a weighted
sum. Everything else belongs to an element: scale, noise, TV weight, prior strength and sample support,
because an element need not be where another one is.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pfitre_jax.data.alignment_checks import check_alignment_options
from pfitre_jax.data.alignment_files import read_alignment
from pfitre_jax.data.checks import NoSignal
from pfitre_jax.data.motion import Motion
from pfitre_jax.data.readers.channels import NOT_ELEMENTS, choose_channel
from pfitre_jax.data.readers.registry import list_elements
from pfitre_jax.data.roll import correct_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.selection import format_ranges
from pfitre_jax.estimation.alignment import align as estimate_motion
from pfitre_jax.estimation.channels import ChannelSignal, same_views, sum_channels
from pfitre_jax.reconstruction.scan_axis import with_center, with_roll
from pfitre_jax.reconstruction.scan_loading import load_scan, open_scan

#: All elements of a scan; the weighted sum of the reconstructed elements.
ALL, SUM = "all", "sum"


def find_elements(
    path: str | os.PathLike,
    requested: str | Sequence[str],
    *,
    dataset: str | None = None,
    axis_order: str | None = None,
) -> list[str]:
    """Names of the requested elements as the scan has them.

    Args:
        path: The scan.
        requested: Names; one string of names that are separated by commas; or "all", without the channels
            that are no elements (:data:`pfitre_jax.data.readers.channels.NOT_ELEMENTS`).
        dataset: Dataset of the projections of an HDF5 file, as in :func:`pfitre_jax.load_scan`.
        axis_order: Names of the axes of the stored projections, as in :func:`pfitre_jax.load_scan`.

    Raises:
        ValueError: A name is empty, unknown or given twice, or the scan has a single channel.
    """
    entries = requested.split(",") if isinstance(requested, str) else list(requested)
    text = ",".join(entries)
    if not entries or not all(entry.strip() for entry in entries):
        raise ValueError(
            f"element is {text!r}, with an empty name; expected names that are separated by commas, such as "
            "Cu,Fe,Zn, or 'all'"
        )
    channels = list_elements(path, dataset=dataset, axis_order=axis_order)
    if not channels:
        raise ValueError(
            f"{path} has a single channel, and element is {text!r}; expected a scan with several elements: "
            "leave element out"
        )
    if len(entries) == 1 and entries[0].strip().lower() == ALL and ALL not in channels:
        return [name for name in channels if name.lower() not in NOT_ELEMENTS] or list(channels)
    names = [channels[choose_channel(channels, entry, Path(path))] for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"element is {text!r}, which names {', '.join(twice)} twice; expected each element once"
        )
    return names


@dataclasses.dataclass(frozen=True)
class Reference:
    """Elements from which the geometry of all is estimated.

    Attributes:
        names: One element, or several that are added.
        signals: Signal of each element that was compared or is added, see
            :class:`pfitre_jax.estimation.channels.ChannelSignal`.
        without_signal: Elements without signal, and why, by name.
    """

    names: tuple[str, ...]
    signals: dict[str, ChannelSignal]
    without_signal: dict[str, str]

    @classmethod
    def choose(
        cls,
        elements: Sequence[str],
        align_on: str | None,
        find: Callable[[str], Sequence[str]],
        preview: Callable[[str], Scan],
    ) -> Reference:
        """Chooses the elements.

        Args:
            elements: Elements that are reconstructed.
            align_on: An element, several of them joined by "+", or "sum" for all ``elements``; None for the
                one with the largest signal-to-noise ratio.
            find: Finds the elements of the scan by name, see :func:`find_elements`.
            preview: Reads some rows of an element.

        Raises:
            ValueError: The scan has no such element, or none of the elements has signal.
        """
        requested: list[str] = []
        if align_on is not None and align_on.strip().lower() != SUM:
            requested = list(find(align_on.replace("+", ",")))
        signals: dict[str, ChannelSignal] = {}
        without_signal: dict[str, str] = {}
        for name in dict.fromkeys([*elements, *requested]):
            try:
                signals[name] = ChannelSignal.of(preview(name))
            except NoSignal as error:
                without_signal[name] = str(error)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        if not any(name in signals for name in elements):
            raise NoSignal(
                f"none of the elements {', '.join(elements)} has signal ({elements[0]}: "
                f"{without_signal[elements[0]]})"
            )
        if align_on is None:
            names = [
                max((name for name in elements if name in signals), key=lambda name: signals[name].ratio)
            ]
        else:
            names = [name for name in requested or elements if name in signals]
        if not names:
            raise NoSignal(
                f"align_on is {align_on!r}, which has no signal; expected an element with signal, such as "
                f"{max(signals, key=lambda name: signals[name].ratio)}"
            )
        return cls(tuple(names), signals, without_signal)

    @property
    def text(self) -> str:
        """The elements in words."""
        return " + ".join(self.names)

    def scan(self, load: Callable[[str], Scan]) -> Scan:
        """The scan of the elements, or their weighted sum, see :func:`sum_channels`.

        Args:
            load: Reads an element.
        """
        if len(self.names) == 1:
            return load(self.names[0])
        return sum_channels({name: load(name).load() for name in self.names}, self.signals)


@dataclasses.dataclass(frozen=True, eq=False)
class SharedGeometry:
    """Geometry of all elements.

    Attributes:
        reference: Elements that it was estimated from.
        center: Detector index of the rotation axis.
        center_text: The centre, and where it comes from, in words.
        roll_deg: Roll of the rotation axis that is corrected when an element is read, degrees.
        motion: Motion of the views, which includes centre and roll, or None. Its gains and offsets belong to
            the reference.
    """

    reference: tuple[str, ...]
    center: float
    center_text: str
    roll_deg: float = 0.0
    motion: Motion | None = None

    @classmethod
    def of(cls, reference: Reference, scan: Scan, motion: Motion | None = None) -> SharedGeometry:
        """Geometry of a scan of the reference.

        Args:
            reference: The elements.
            scan: Their scan, with a known centre.
            motion: Motion of its views.
        """
        if motion is not None:
            text = f"{motion.center:.4g}, of the alignment of {reference.text}"
            return cls(reference.names, motion.center, text, motion=motion)
        assert scan.center is not None
        text = scan.provenance.get("center", f"{scan.center:g}")
        return cls(reference.names, scan.center, f"{text}, of {reference.text}", scan.roll_deg)

    def axis_of(self, scan: Scan) -> Scan:
        """An element whose views have been read, with the common rotation axis."""
        return scan.with_center(self.center).with_provenance(center=self.center_text)

    def motion_of(self, element: str | None, scan: Scan) -> tuple[Motion, Scan]:
        """The motion of an element, and the element without views that have none.

        Gains and offsets are those of one element, in its units, and are left out for others.

        Args:
            element: Name of the element.
            scan: The element as it was measured.

        Raises:
            ValueError: The motion is that of other views.
        """
        assert self.motion is not None
        known, kept = same_views(self.motion.theta_rad, scan.theta_rad)
        if len(kept) < scan.views // 2:
            self.motion.check_views(scan.theta_rad)
        if len(kept) < scan.views:
            others = sorted(set(range(scan.views)) - set(kept.tolist()))
            scan = scan.take_views(kept).with_warnings(
                f"views {format_ranges(others)} were left out, because they are not aligned: "
                f"{' + '.join(self.reference)} has no signal there"
            )
        motion = self.motion.take_views(known)
        return (motion if self.reference == (element,) else motion.without_gain()), scan


def load_elements(
    path: str | os.PathLike,
    elements: str | Sequence[str] = ALL,
    *,
    align_on: str | None = None,
    align: bool = False,
    drift: bool = False,
    alignment: str | os.PathLike | None = None,
    center: float | str | None = None,
    roll: float | str = 0.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> dict[str, Scan]:
    """Reads several elements of a scan into memory, with one geometry.

    Axis, roll and motion are estimated once. Gains and offsets of the views, which ``align`` estimates too,
    correct only the element that they were estimated from. Elements without signal are left out.

    Args:
        path: The scan.
        elements: Names, or "all", see :func:`find_elements`.
        align_on: Element whose geometry is estimated; several names joined by "+", or "sum" for all
            ``elements``, are added with weights (:func:`pfitre_jax.estimation.channels.sum_channels`). By
            default, the element with the largest signal-to-noise ratio.
        align: Whether the motion of the views is estimated (:func:`pfitre_jax.align`) and corrected.
        drift: Whether the motion is a slow drift.
        alignment: File of a known alignment, see :func:`pfitre_jax.data.read_alignment`; with ``align`` the
            initial estimate. It states centre and roll.
        center: Detector index of the rotation axis, None or "auto", see :func:`pfitre_jax.load_scan`.
        roll: Roll of the rotation axis, degrees; without alignment also "auto".
        progress: Called with the number of alignment steps done and the number of steps.
        **options: Further arguments of :func:`pfitre_jax.load_scan`.

    Returns:
        A scan for each element with signal, by name.

    Raises:
        ValueError: An element is unknown, none has signal, or an argument is invalid.
    """
    check_alignment_options(align=align, drift=drift, stored=alignment is not None, center=center, roll=roll)
    stored = None if alignment is None else read_alignment(alignment)

    def find(requested: str | Sequence[str]) -> list[str]:
        return find_elements(
            path, requested, dataset=options.get("dataset"), axis_order=options.get("axis_order")
        )

    load = functools.partial(load_scan, path, **options)
    names = find(elements)
    reference = Reference.choose(
        names, align_on, find, lambda name: open_scan(path, element=name, preview=True, **options)
    )
    scan = reference.scan(lambda name: load(element=name, center=center))
    motion: Motion | None = None
    notes: tuple[str, ...] = ()
    if stored is not None:
        motion = stored.motion(scan.theta_rad, scan.columns)
        motion, notes = motion.of_element(scan.provenance.get("element"))
    elif align:
        scan = with_center(scan)
        assert scan.center is not None
        motion = Motion.none(scan.theta_rad, scan.center, float(roll))
    else:
        scan = with_center(with_roll(scan) if roll == "auto" else correct_roll(scan, float(roll)))
    if align:
        motion = estimate_motion(scan, motion, drift=drift, progress=progress).motion
    geometry = SharedGeometry.of(reference, scan, motion)
    scans = {}
    for name in names:
        if name in reference.without_signal:
            continue
        scan = geometry.axis_of(load(element=name, center=geometry.center, roll=geometry.roll_deg))
        if motion is not None:
            own, scan = geometry.motion_of(name, scan)
            scan = own.corrected(scan).with_warnings(*notes)
        scans[name] = scan
    return scans
