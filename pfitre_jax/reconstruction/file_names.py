"""Names of the files of a reconstruction, and of the images in ``recon.h5``."""

import re
from collections.abc import Iterable

#: File that holds the whole result.
RECON = "recon.h5"
#: Files that every result has, and with the slices in the default formats.
REQUIRED_FILES = (RECON, "summary.json")
RESULT_FILES = (*REQUIRED_FILES, "recon.tif")
#: Formats of the slices by default.
FORMATS = ("hdf5", "tiff")
#: Datasets of ``recon.h5``: the volume and the component of it that the data determine.
VOLUME, MEASURED = "/exchange/data", "/trust/measured"
#: Datasets of the limits of the interval of each pixel.
LIMITS = {"lower": "/trust/lower", "upper": "/trust/upper"}
#: Attribute of a ``recon.h5`` that leads to the results of several elements: their names.
ELEMENTS = "elements"
#: Report of a result.
REPORT = "report.html"
#: Folder of the checkpoints of a run, and the file in it that identifies the run.
PARTIAL, PLAN = "partial", "plan.json"
#: Weights file of a prior that was adapted to the scan; errors and images of the adaptation.
ADAPTED_PRIOR, ADAPTATION = "prior.npz", "adaptation.npz"
#: Files that a reconstruction with an adapted prior adds to its result.
ADAPTATION_FILES = (ADAPTED_PRIOR, "adaptation.png")


def element_folders(names: Iterable[str]) -> dict[str, str]:
    """Names of the folders of the elements in a result of several elements, by element.

    They differ on file systems that do not distinguish upper and lower case, too.

    >>> element_folders(["Fe_Ka1/Mn", "partial", "Cu K", "Cu_K"])
    {'Cu_K': 'Cu_K', 'Cu K': 'Cu_K_2', 'Fe_Ka1/Mn': 'Fe_Ka1_Mn', 'partial': 'partial_'}
    """
    folders: dict[str, str] = {}
    used: set[str] = set()
    # In an order that does not depend on that of the names; a name that needs no change keeps it.
    for name in sorted(names, key=lambda name: (_safe(name) != name, name)):
        folder, number = _safe(name), 2
        while folder.casefold() in used:
            folder, number = f"{_safe(name)}_{number}", number + 1
        folders[name] = folder
        used.add(folder.casefold())
    return folders


def _safe(name: str) -> str:
    """The name with only characters that every file system allows, and different from those of files."""
    safe = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)
    # A name with a dot in front would be hidden, and others are taken.
    taken = safe.startswith(".") or safe.casefold() in (PARTIAL, *RESULT_FILES)
    return f"{safe.lstrip('.')}_" if taken else safe
