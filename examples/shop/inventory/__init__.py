"""Stock and shelves of the warehouse."""
