"""Other people's formats: checkpoints that this project did not write."""
