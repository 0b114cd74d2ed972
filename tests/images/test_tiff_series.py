"""Tests of tiff_series."""
