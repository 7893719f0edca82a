"""The gRPC shells of the hub."""
