"""Exponents, formulas, programs, exact arithmetic and engines. They know nothing of files, Dask or stores."""
