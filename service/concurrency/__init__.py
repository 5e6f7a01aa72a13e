"""How the tasks of one event loop wait for each other, and for threads.

In: tasks that want a slot, a condition or a thread. Out: the slot, the moment, the result, in order and never lost when
a task is cancelled. Called by backends, streaming, dataplane and the job worker; knows nothing of clips.
"""
