"""What a writer of slices offers."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import ClassVar

from pfitre_jax.data.optional_package import import_optional
from pfitre_jax.data.writers.image_stack import ImageStack


class Writer(abc.ABC):
    """Writes slices in one format.

    Attributes:
        name: Name of the format after ``--format``.
        suffix: End of the file name.
        package: Package of the extra ``formats`` that it needs; None for none.
        minimum: Oldest version of the package that can be used; None for any.
        relative_size: Largest size of the file relative to the slices in float32.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    package: ClassVar[str | None] = None
    minimum: ClassVar[str | None] = None
    relative_size: ClassVar[float] = 1.0

    @abc.abstractmethod
    def write(self, path: Path, stack: ImageStack) -> None:
        """Writes a new file, or a new folder.

        Args:
            path: The file.
            stack: Slices to write; read once, block by block.
        """

    def check_installed(self) -> None:
        """Checks that the package of the format is installed, in a version that can be used.

        Raises:
            ValueError: If it is not; the message names the command that installs it.
        """
        if self.package is not None:
            import_optional(self.package, f"the format {self.name}", self.minimum)
