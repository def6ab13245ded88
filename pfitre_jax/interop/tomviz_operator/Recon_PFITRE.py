"""Reconstruction of a tilt series with a missing wedge, as an operator of tomviz."""

import tomviz.operators


class Canceled(Exception):
    """The user has canceled the operator."""


class ReconPfitreOperator(tomviz.operators.CancelableOperator):
    """Calls pfitre_jax, which must be installed in the Python that runs the operator."""

    def transform(
        self,
        dataset,
        method="pfitre",
        prior="general",
        iterations=0,
        center="middle",
        offset=0.0,
        subtract_air=True,
    ):
        """Reconstructs the tilt series; 0 iterations stand for the default of the method."""
        from pfitre_jax.interop.tomviz import reconstruct_dataset

        def progress(done, total):
            self.progress.maximum, self.progress.value = total, done
            if self.canceled:
                raise Canceled

        self.progress.message = "Calibration and compilation"
        try:
            child = reconstruct_dataset(
                dataset,
                method,
                prior=prior if method == "pfitre" else None,
                iterations=iterations or None,
                center=center,
                offset=offset,
                subtract_air=subtract_air,
                progress=progress,
            )
        except Canceled:
            return None
        return {"reconstruction": child}
