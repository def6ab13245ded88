"""``python -m pfitre_jax.cli``, the same as ``pfitre``."""

from pfitre_jax.cli import main

if __name__ == "__main__":
    main()
