"""Tests of tiff_names."""
