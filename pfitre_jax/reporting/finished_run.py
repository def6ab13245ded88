"""A finished run: everything that ``pfitre recon`` wrote into its folder."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pfitre_jax.data.motion import Motion
from pfitre_jax.reconstruction.result import Result, read_result

_EXPECTED = "expected the output folder of pfitre recon"
#: Types of the entries of ``summary.json`` that are read, and of the record of an input file in ``inputs``.
_ENTRIES = {"inputs": dict, "identity": dict, "alignment": dict, "command": str, "complete": bool}
_INPUT = {"path": str, "files": int, "bytes": int, "sha256": str | None}


@dataclasses.dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run that was read from its folder; its volumes stay in ``recon.h5``.

    Attributes:
        folder: The folder.
        result: The result.
        summary: Content of ``summary.json``; empty where there is none.
        motion: Motion of the views that was corrected, from ``alignment.csv``; None without an alignment.
    """

    folder: Path
    result: Result
    summary: Mapping[str, Any]
    motion: Motion | None

    @property
    def name(self) -> str:
        """Name of the scan file; of the folder of the run where it is not recorded."""
        file = self.result.provenance.get("file")
        return Path(file).name if file else self.folder.resolve().name

    @property
    def command(self) -> str:
        """Command line of the run; empty where it is not recorded."""
        return str(self.summary.get("command", ""))

    @property
    def complete(self) -> bool:
        """Whether the run reached its end; True where that is not recorded."""
        return bool(self.summary.get("complete", True))

    @property
    def scan_sha256(self) -> str | None:
        """Hash of the scan, see :mod:`pfitre_jax.data.input_files`; None where it is not recorded."""
        return self.scan_record.get("sha256")

    @property
    def scan_record(self) -> Mapping[str, Any]:
        """Record of the scan file, see :func:`pfitre_jax.data.input_files.describe_input`; empty without."""
        return self.summary.get("inputs", {}).get("scan", {})


def read_run(folder: str | os.PathLike) -> FinishedRun:
    """The run in a folder.

    Args:
        folder: Output folder of ``pfitre recon``, or of :meth:`pfitre_jax.Result.save`.

    Raises:
        FileNotFoundError: There is no such folder, or no result in it.
        NotADirectoryError: It is a file.
        ValueError: A file of the run is damaged.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist; {_EXPECTED}")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; {_EXPECTED}")
    result = read_result(folder, lazy=True)
    summary = _read_summary(folder / "summary.json")
    # An alignment that an earlier run left in the folder does not belong to this result.
    aligned = "alignment" in summary and (folder / "alignment.csv").exists()
    motion = Motion.load(folder / "alignment.csv") if aligned else None
    return FinishedRun(folder, result, summary, motion)


def _read_summary(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); {_EXPECTED}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not contain an object; {_EXPECTED}")
    for name, kind in _ENTRIES.items():
        if name in content and not isinstance(content[name], kind):
            raise ValueError(f"{path} is damaged: {name} is {content[name]!r}; {_EXPECTED}")
    for role, record in content.get("inputs", {}).items():
        known = record if isinstance(record, dict) else {}
        if not all(name in known and isinstance(known[name], kind) for name, kind in _INPUT.items()):
            raise ValueError(
                f"{path} is damaged: the input {role} is {record!r}; expected its {', '.join(_INPUT)}"
            )
    return content
