"""The results of a run: the record, the layout, the shards, and reading them again."""
