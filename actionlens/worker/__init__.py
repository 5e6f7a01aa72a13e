"""Messages between the service and a TorchServe worker."""
