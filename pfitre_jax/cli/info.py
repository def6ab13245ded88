"""``pfitre info``: versions, devices, methods, priors and samples of this installation."""

from __future__ import annotations

import os

from pfitre_jax.cli.app import INSTALLATION_PANEL, command
from pfitre_jax.cli.console import print_facts
from pfitre_jax.cli.priors import describe_prior
from pfitre_jax.data.sample_files import SAMPLES


@command(INSTALLATION_PANEL)
def info() -> None:
    """Print versions, devices, methods with their settings, priors and samples.

    Example: pfitre info
    """
    import jax

    from pfitre_jax.models.engines import engine_versions, select_engine
    from pfitre_jax.priors.files import available
    from pfitre_jax.reconstruction.methods import METHODS
    from pfitre_jax.runtime.versions import package_versions

    facts = {
        "versions": ", ".join(f"{name} {version}" for name, version in package_versions().items()),
        "network": ", ".join(engine_versions(select_engine()).values()),
        "devices": ", ".join(f"{d.platform}: {d.device_kind}" for d in jax.devices()),
    }
    for name, method in METHODS.items():
        settings = ", ".join(f"{key} {value}" for key, value in method.defaults.items())
        facts[f"method {name}"] = method.summary + (f" ({settings})" if settings else "")
    facts |= {f"prior {name}": describe_prior(name) for name in available()}
    facts |= {f"sample {path.stem}": str(path) for path in sorted(SAMPLES.glob("*.npz"))}
    facts["test data"] = os.environ.get(
        "PFITRE_DATA", "not set: set PFITRE_DATA to the folder of the test scans"
    )
    print_facts(facts)
