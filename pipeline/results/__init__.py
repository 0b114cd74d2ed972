"""Finished results: opening, looking at them, and taking them along to other programs."""
