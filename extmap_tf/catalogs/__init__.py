"""Star tables: readers of surveys and of Galaxy models, and the two shapes they all end in."""
