"""The browser's door: the live page, and the same calls as gRPC over HTTP and WebSocket."""
