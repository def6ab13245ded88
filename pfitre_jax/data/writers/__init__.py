"""Writers of slices, one class for each format that other programs open."""
