"""The client SDK. What outsiders use is exported by `fieldline` itself."""
