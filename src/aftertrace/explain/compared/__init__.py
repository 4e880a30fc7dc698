"""A request beside others: what sets it apart, what they share, how often."""
