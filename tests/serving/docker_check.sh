#!/usr/bin/env bash
# The tests of this folder against the real TensorFlow Serving, where Docker is:
#
#     tests/serving/docker_check.sh run/model
#
# run/model is a folder of 'extmap-tf export' with one version. A second server then batches.
set -euo pipefail
model=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
container=

serve() {
    container=$(docker run --rm --detach --publish 8500:8500 --publish 8501:8501 \
        --volume "$model:/models/extmap:ro" tensorflow/serving \
        --model_config_file=/models/extmap/serving/models.config \
        --monitoring_config_file=/models/extmap/serving/monitoring.config "$@")
}

stop() { [ -z "$container" ] || docker stop "$container" >/dev/null; container=; }
trap stop EXIT

wait_for_it() {
    for _ in $(seq 60); do
        curl --silent --fail http://localhost:8501/v1/models/extmap | grep AVAILABLE >/dev/null && return
        sleep 1
    done
    docker logs "$container" >&2
    exit 1
}

serve
wait_for_it
extmap-tf serve-check http://localhost:8501 --model "$model"
extmap-tf serve-check grpc://localhost:8500 --model "$model"
curl --silent --fail http://localhost:8501/monitoring/prometheus/metrics | grep tensorflow:serving >/dev/null
EXTMAP_SERVER=localhost EXTMAP_SERVER_MODEL="$model" python -m pytest "$here"
stop

serve --enable_batching --enable_model_warmup=false \
    --batching_parameters_file=/models/extmap/serving/batching.config
wait_for_it
extmap-tf serve-check http://localhost:8501 --model "$model"
