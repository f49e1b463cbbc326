"""The engine: how pictures come in, and how they are found. It knows ports, never adapters."""
