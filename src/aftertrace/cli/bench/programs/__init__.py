"""The programs that are measured: copied away from here and run there, as somebody's own."""
