"""Images that are read by regions: one file for each kind of source."""
