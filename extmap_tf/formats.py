"""What files that this software writes call themselves, under the key "format"."""

EVALUATION = "extmap_tf evaluation"
COMPARISON = "extmap_tf comparison"
FIT = "extmap_tf fit"
DEMO = "extmap_tf demo"
MAP = "extmap_tf map"
STEPS = "extmap_tf steps"

FETCH = "extmap_tf fetch"

CLOUDS = "extmap_tf clouds"
PROFILES = "extmap_tf profiles"
REPORT = "extmap_tf report"

# In a folder of its own kind.
FIT_NAME = "fit.json"
DEMO_NAME = "summary.json"
MAP_NAME = "map.json"
STEPS_NAME = "steps.json"
FETCH_NAME = "fetch.json"
