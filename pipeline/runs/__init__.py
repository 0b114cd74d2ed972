"""A run from its options to its receipt: plan, task, executors, loop, progress."""
