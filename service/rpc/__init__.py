"""The gRPC side: servicers, the interceptor around every call, errors as statuses, health.

In: calls of actionlens.v1 and grpc.health.v1. Out: responses, or statuses with google.rpc details, and the
grpc_server_* metrics of every call. Called by grpc.aio, at which service.server registers them; the gateway calls the
same servicers without gRPC.
"""
