"""Results against annotations: figures, and a page to look at."""
