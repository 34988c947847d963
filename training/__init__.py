"""A training in progress: its state and its folder, the moving average, the monitor, the log, the previews, the schedule.

Takes plain values: neither the settings object nor the command line reaches this package.
"""
