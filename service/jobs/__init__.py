"""Expensive explanations as durable jobs: checked CreateJob requests come in, job states and results go out.

Called by rpc/job_servicer.py (`protocol.JobEngine`) and server.py (`lifecycle.JobService`). `store` holds all that is
known of a job; workers (`worker`) are processes of their own, and either side may die at any moment.
A job's state is written in store/transitions.py (rows) and store/artefacts.py (blobs).
"""
