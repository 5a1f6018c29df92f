"""Maps beside other maps, and the clouds in them."""
