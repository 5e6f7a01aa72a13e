"""The process that computes jobs: clips come in from DBOS's queues, states and results go out to `store`.

Started by `actionlens jobs worker`, and by `worker_supervisor` below `actionlens serve`; process.py runs it. A clip
goes through workflow.py, clip_runner.py and backend_pool.py; the runner writes its state with store/transitions.py
(rows) and store/artefacts.py (blobs), and DBOS records the blobs' names.
"""
