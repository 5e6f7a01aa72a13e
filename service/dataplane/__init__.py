"""From a client's request to its answer, without a transport.

In: actionlens.v1 requests (a clip, or what a stream asks of its windows) and the running backend. Out: actionlens.v1
Answers with timings, or domain errors that name the field. Called by rpc, streaming, local and the job worker.
"""
