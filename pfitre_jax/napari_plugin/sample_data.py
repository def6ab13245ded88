"""Sample data of the napari plugin: a simulated scan of the package, reconstructed."""

from __future__ import annotations

from typing import Any

from pfitre_jax.napari_plugin.layers import image_layers


def chip() -> list[tuple[Any, dict[str, Any], str]]:
    """Layers of the shipped scan of a chip: slices by total variation, their components, and the truth."""
    import numpy as np

    from pfitre_jax.data.sample_files import sample_path
    from pfitre_jax.reconstruction.in_memory import reconstruct
    from pfitre_jax.reconstruction.scan_loading import load_scan

    path = sample_path("chip")
    with np.load(path, allow_pickle=False) as arrays:
        truth = arrays["truth"].astype(np.float32)
    # Fixed settings, because their selection takes longer than the reconstruction.
    result = reconstruct(load_scan(path), "fista-tv", weight=1e-3, iterations=100, support="disc")
    assert isinstance(result.volume, np.ndarray) and isinstance(result.measured, np.ndarray)
    images = {
        "slices": result.volume,
        "measured": result.measured,
        "supplied": result.volume - result.measured,
        "truth": truth,
    }
    return image_layers(images, result.pixel_size, {"method": result.method, "units": result.units})
