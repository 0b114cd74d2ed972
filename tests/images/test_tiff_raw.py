"""Tests of tiff_raw."""
