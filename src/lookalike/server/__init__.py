"""The HTTP service and its page: FastAPI over one engine."""
