"""The stages of aggregation pipelines; see `registry`."""
