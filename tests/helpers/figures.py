"""Helpers for tests of figures."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def pixels(figure: Figure) -> np.ndarray:
    """Renders a figure: (height, width, 4), 0 to 255."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def axes_with(figure: Figure, text: str) -> Axes:
    """Returns the only axes whose left title contains ``text``."""
    [axis] = [a for a in figure.findobj(matplotlib.axes.Axes) if text in a.get_title("left")]
    return axis


def all_text(figure: Figure) -> str:
    """Returns all text of a figure."""
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))
