"""The facts of rasters: see test_raster.py, where they are compared with those that rasterio reads."""
