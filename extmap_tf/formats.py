"""What files that this software writes call themselves, under the key "format"."""

EVALUATION = "extmap_tf evaluation"
COMPARISON = "extmap_tf comparison"
FIT = "extmap_tf fit"
DEMO = "extmap_tf demo"
DEMO_STEPS = "extmap_tf demo steps"

FETCH = "extmap_tf fetch"

CLOUDS = "extmap_tf clouds"
REPORT = "extmap_tf report"

# In a folder of its own kind.
FIT_NAME = "fit.json"
DEMO_NAME = "summary.json"
DEMO_STEPS_NAME = "steps.json"
FETCH_NAME = "fetch.json"
