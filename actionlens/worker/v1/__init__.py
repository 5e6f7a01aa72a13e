"""Messages between the service and a TorchServe worker, generated from protos/actionlens/worker/v1."""
