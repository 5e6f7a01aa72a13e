"""What is asked of every request before anyone looks at its contents: counts, quotas, names of hosts.

In: bytes off the wire and who sent them, from gRPC and from the page alike. Out: parsed messages, or InvalidArgument
and QuotaExceeded. Called by service.rpc and service.gateway; service.dataplane charges the computing.
"""
