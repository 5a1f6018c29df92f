"""Imports point one way only: science, then TensorFlow, and Beam only in the jobs."""

import ast
from pathlib import Path

import pytest

import beam_jobs
import extmap_tf

ROOT = Path(extmap_tf.__file__).parent
# Each module or package may import those on its own line and above.
LAYERS = [
    ["errors", "quiet", "draws", "program", "formats"],
    ["files", "json_files", "text_tables"],
    ["bounds"],
    ["grids", "networks"],
    ["settings"],
    ["extinction", "surveys", "galaxy", "catalogs", "estimate"],
    ["diagrams", "fetch"],
    ["mocks"],
    ["records"],
    ["model"],
    ["fit"],
    ["map"],
    ["evaluation"],
    ["compare"],
    ["figures"],
    ["report"],
    ["info", "serving", "steps"],
    ["demo", "survey_map"],
    ["options"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
WITH_TENSORFLOW = {
    "records/example.py",
    "records/dataset.py",
    "networks",
    "model",
    "fit",
    "serving/grpc_channel.py",
}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} a relative import is not followed here"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def modules():
    return sorted(path for path in ROOT.rglob("*.py") if path.name != "__init__.py" or path.parent != ROOT)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_before_it(path):
    place = path.relative_to(ROOT)
    own = place.parts[0].removesuffix(".py")
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "extmap_tf" and len(parts) > 1 and parts[1] in RANK:
            assert RANK[parts[1]] <= RANK[own], f"{place} imports {name}"
        if parts[0] in ("tensorflow", "tensorflow_probability", "keras"):
            allowed = str(place) in WITH_TENSORFLOW or own in WITH_TENSORFLOW or own == "quiet"
            assert allowed, f"{place} imports {name}"
        if parts[0] in ("apache_beam", "beam_jobs"):
            assert own in ("cli", "demo", "steps", "survey_map"), f"{place} imports {name}"


def test_every_module_has_its_layer():
    found = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in modules()}
    assert found == set(RANK)


def jobs():
    return sorted(Path(beam_jobs.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", jobs(), ids=lambda path: path.name)
def test_jobs_do_not_import_the_command_line_that_runs_them(path):
    for name in imports_of(path):
        assert not f"{name}.".startswith(("extmap_tf.cli.", "extmap_tf.__main__.")), name


def test_jobs_import_no_tensorflow_at_the_top():
    for path in jobs():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                assert not any(name.startswith(("tensorflow", "keras")) for name in names), path


def test_no_module_needs_one_that_needs_it():
    top = ROOT.parent
    paths = {path: ".".join(path.relative_to(top).with_suffix("").parts) for path in (*modules(), *jobs())}
    named = {name.removesuffix(".__init__"): name for name in paths.values()}
    needs = {
        name: {named[other] for other in imports_of(path) if other in named and named[other] != name}
        for path, name in paths.items()
    }
    # Take away, again and again, what needs nothing that is left.
    while free := [name for name, others in needs.items() if not others & needs.keys()]:
        for name in free:
            del needs[name]
    assert not needs, f"among these is a circle: {', '.join(sorted(needs))}"
