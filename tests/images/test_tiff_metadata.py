"""The metadata of TIFFs."""
