"""The memory of jobs: requests and results of blocks come in, rows and artefacts go out, each change in a transaction.

Called by the service through `job_engine.DatabaseJobEngine`, and by job workers directly; every call blocks. A clip's
and a job's state is written in transitions.py, once submission.py has made the rows and where actions.py carries out a
client's wish; uploads, states of methods and results are written in artefacts.py.
"""
