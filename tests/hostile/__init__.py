"""Readers of what others send, tried with what nobody means: seeds of every kind, mutated.

Allowed is a value, or an error of the kind that the reader's docstring names. Anything else is a failure: another
exception, lack of memory, a crash, or more seconds of computing than a case may take. A case is known by its target,
the run's seed and its number, and is the same on every machine:

    python -m tests.hostile                                 all targets, as CI has them
    python -m tests.hostile picture --cases 100000 --seed 7
    python -m tests.hostile picture --seed 7 --case 123     one case alone, with its traceback
    python -m tests.hostile picture --guided 600            so many seconds guided by coverage; needs the extra `fuzz`
    python -m tests.hostile.make_seeds                      makes the seeds again
"""
