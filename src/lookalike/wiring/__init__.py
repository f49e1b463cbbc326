"""Which adapter stands behind which port: the only place that knows both."""
