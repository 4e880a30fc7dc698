"""A query judged on recorded requests."""
