"""What test_solver.py does with a trained model: one module a mode, each with `run(args, trained, info) -> paths written`.

`args` is the command line of test_solver.py, checked; `trained` the model; `info` the sampler. A mode prints what it will do
and where to, before it begins.
"""
