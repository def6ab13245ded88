"""Plugin of the viewer napari, which finds it by its manifest ``napari.yaml``; it imports no napari."""
