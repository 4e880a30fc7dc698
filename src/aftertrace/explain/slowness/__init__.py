"""Where a request's time went, and what made it wait."""
