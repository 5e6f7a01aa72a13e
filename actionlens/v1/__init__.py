"""Public messages and the gRPC service, generated from protos/actionlens/v1."""
