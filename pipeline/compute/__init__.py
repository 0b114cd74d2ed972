"""From planes of pixels to values: formulas, programs, exact arithmetic, engines."""
