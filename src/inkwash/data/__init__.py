"""Training data: batches as pure functions of the step number, loaded by worker processes."""
