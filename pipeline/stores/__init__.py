"""What a run leaves: the record, the layout, the shards, and reading them again."""
