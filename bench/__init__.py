"""`make bench`: what a login costs, measured from outside (see docs/performance.md)."""
