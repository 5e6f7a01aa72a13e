"""The contracts that both sides of ActionLens share: protobuf messages and model cards."""
