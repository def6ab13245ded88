"""Names of the files of a reconstruction."""

import re

#: Files that every result has, and with the slices in the default formats.
REQUIRED_FILES = ("recon.h5", "summary.json")
RESULT_FILES = (*REQUIRED_FILES, "recon.tif")
#: Formats of the slices by default.
FORMATS = ("hdf5", "tiff")
#: Report of a result.
REPORT = "report.html"
#: Folder of the checkpoints of a run, and the file in it that identifies the run.
PARTIAL, PLAN = "partial", "plan.json"
#: Weights file of a prior that was adapted to the scan; errors and images of the adaptation.
ADAPTED_PRIOR, ADAPTATION = "prior.npz", "adaptation.npz"
#: Files that a reconstruction with an adapted prior adds to its result.
ADAPTATION_FILES = (ADAPTED_PRIOR, "adaptation.png")


def element_folder(name: str) -> str:
    """Name of the folder of an element in a result of several elements.

    >>> element_folder("Fe_Ka1/Mn"), element_folder("partial")
    ('Fe_Ka1_Mn', 'partial_')
    """
    safe = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)
    # A name with a dot in front would be hidden, and others are taken.
    taken = safe.startswith(".") or safe in (PARTIAL, *RESULT_FILES)
    return f"{safe.lstrip('.')}_" if taken else safe
