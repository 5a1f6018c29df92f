import pytest
import tensorflow as tf

from extmap_tf.model import precision
from extmap_tf.model.precision import training_precision
from extmap_tf.settings.config import Config


@pytest.mark.parametrize(
    ("flags", "gpus", "expected"),
    [
        ("fpu avx2", [], "float32"),
        ("fpu avx2 avx512_bf16", [], "mixed_bfloat16"),
        ("fpu amx_bf16 amx_tile", [], "mixed_bfloat16"),
        ("fpu avx2", [(8, 9)], "mixed_bfloat16"),
        # What trains are the GPUs.
        ("fpu amx_bf16", [(7, 5)], "float32"),
        ("fpu avx2", [(9, 0), (7, 0)], "float32"),
        (None, [], "float32"),
    ],
)
def test_auto_is_what_the_machine_multiplies_fast(flags, gpus, expected, tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    if flags is not None:
        info.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\n\nprocessor\t: 1\nflags\t\t:\n")
    monkeypatch.setattr(precision, "_CPU_INFO", str(info))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    details = tf.config.experimental
    monkeypatch.setattr(details, "get_device_details", lambda gpu: {"compute_capability": gpu})
    assert training_precision("auto") == expected
    assert training_precision("mixed_float16") == "mixed_float16"


def test_a_configuration_is_the_same_on_all_machines():
    demo = Config.named("demo")
    assert demo.training.precision == "auto"
    assert demo.digest == demo.replace(**{"training.precision": "float32"}).digest
    assert demo.digest != demo.replace(**{"training.precision": "mixed_bfloat16"}).digest
