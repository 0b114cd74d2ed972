"""Tests of tiff_samples."""
