"""The prior of every command and function that names none."""

#: Name of the default learned prior; that of ``--joint`` is an entry of
#: :data:`pfitre_jax.reconstruction.methods.METHODS`.
DEFAULT_PRIOR = "general"
