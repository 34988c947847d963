"""A training in progress: its state and its folder, the moving average, the monitor, the log, the previews."""
