"""External projections: delivery of log events to engines outside of the append's transaction."""
