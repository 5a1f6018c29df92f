"""What is handed to Google Cloud Dataflow: the graph of each job, built and not submitted."""

import importlib.util

import apache_beam as beam
import pytest

from beam_jobs.graphs import mocks_to_records, score_to_map, twomass_to_records
from beam_jobs.pipeline import pipeline_options
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("apitools"), reason="needs the extra gcp")

OPTIONS = [
    "--runner=DataflowRunner",
    "--project=somebodys-project",
    "--region=europe-west1",
    "--temp_location=gs://bucket/tmp",
    "--sdk_container_image=europe-docker.pkg.dev/somebodys-project/extmap/worker:1",
    "--sdk_location=container",
    "--max_num_workers=64",
    "--dry_run=True",
    "--no_auth",
]


def graph_of(build, more=()):
    pipeline = beam.Pipeline(options=pipeline_options([*OPTIONS, *more]))
    build(pipeline)
    return pipeline.run().job


def steps(job):
    return {transform.unique_name for transform in job.proto_pipeline.components.transforms.values()}


def test_every_job_builds_its_graph(tiny_config):
    folder = "gs://bucket/out"
    n_shards = mocks_to_records.shard_counts(tiny_config.mocks)
    mocks = graph_of(lambda p: mocks_to_records.build(p, tiny_config, folder, n_shards))
    assert {"Simulate and write shards", "Gather reference CMDs", "Write manifest"} <= steps(mocks)
    tables = ["gs://bucket/psc_aaa.gz", "gs://bucket/psc_aab.gz"]
    survey = graph_of(lambda p: twomass_to_records.build(p, tiny_config, tables, None, folder))
    assert {"Read and count stars", "Add partial counts", "Write shards"} <= steps(survey)
    handler = score_to_map.SavedModelHandler("gs://bucket/model/1", tiny_config)
    gpu = "--dataflow_service_options=worker_accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver"
    shards = [(0, "gs://bucket/survey/all-00000-of-00001.tfrecord.gz")]
    about = MapHeader(tiny_config.sightlines, tiny_config.distance, Provenance.of(tiny_config, "estimate"))
    score = graph_of(
        lambda p: score_to_map.build(p, shards, handler, tiny_config.views, about, folder), [gpu]
    )
    assert {"Read records", "Estimate profiles", "Write tiles"} <= steps(score)
    asked = score.options.get_all_options()["dataflow_service_options"]
    assert any("nvidia-tesla-t4" in option for option in asked)
    for job in (mocks, survey, score):
        images = {
            environment.payload.decode(errors="replace")
            for environment in job.proto_pipeline.components.environments.values()
        }
        assert any("extmap/worker:1" in image for image in images)
