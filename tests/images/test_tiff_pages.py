"""The pages of TIFFs."""
