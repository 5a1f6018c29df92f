"""The jobs of the campaign: their inputs, their commands, and whether two results are the same."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table

CONFIG = """\
name = "tiny"
seed = 1
survey = "2mass"
[sightlines]
l_min_deg = 284.0
l_max_deg = 286.0
b_min_deg = -1.0
b_max_deg = 1.0
step_deg = 0.5
field_deg = 0.5
[distance]
step_kpc = 0.5
n_distances = 20
[mocks]
l_deg = [285.0]
b_deg = [0.0]
n_pairs = 200
pool_fields = 2.0
[network]
preset = "dense"
widths = [32]
rank = 2
[training]
epochs = 6
batch_size = 16
"""
EXTMAP = [sys.executable, "-m", "extmap_tf"]
WORKERS = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
# Set in all processes of a trial, so that those that outlive it are found.
MARK = "EXTMAP_CAMPAIGN"


@dataclass(frozen=True)
class Job:
    """A command that makes `out` from what lies in the inputs' folder.

    Parameters
    ----------
    name : str
    args : tuple of str
        ``{in}`` is the inputs' folder.
    out : str
        What the command makes in the folder that it is started in.
    may_stay : tuple of str
        What a run that was stopped may leave there, for the next one to go on from.
    """

    name: str
    args: tuple
    out: str
    may_stay: tuple = ()

    def command(self, inputs):
        return [*EXTMAP, *(arg.replace("{in}", str(inputs)) for arg in self.args)]


MOCKS = ("records", "mocks", "--config", "{in}/tiny.toml", "--examples-per-shard", "16")
SURVEY = ("records", "survey", "{in}/stars-*.csv", "--config", "{in}/tiny.toml")
SCORE = ("score", "--records", "{in}/survey", "--model", "{in}/model")
JOBS = (
    Job("records mocks", (*MOCKS, "--out", "pairs"), "pairs"),
    Job("mocks, 2 workers", (*MOCKS, "--out", "pairs", *WORKERS), "pairs"),
    Job("records survey", (*SURVEY, "--out", "fields"), "fields"),
    Job("score", (*SCORE, "--out", "map.fits", "--samples", "4"), "map.fits"),
    Job("score, 2 workers", (*SCORE, "--out", "map.fits", *WORKERS), "map.fits"),
    Job("train", ("train", "--records", "{in}/mocks", "--out", "training"), "training", ("training",)),
    Job("export", ("export", "--model", "{in}/training", "--out", "model"), "model"),
    Job("merge", ("merge", "{in}/map.fits", "{in}/other.fits", "-o", "both.fits"), "both.fits"),
    Job("convert fits", ("convert", "{in}/map.fits", "copy.fits"), "copy.fits"),
    Job("convert h5", ("convert", "{in}/map.fits", "copy.h5"), "copy.h5"),
    Job("plot", ("plot", "{in}/map.fits", "--out", "figures"), "figures"),
    Job("report", ("report", "{in}/map.fits", "-o", "report.html"), "report.html"),
    Job("demo", ("demo", "--config", "{in}/tiny.toml", "--out", "all"), "all", ("all.unfinished",)),
)


def environment(folder, mark):
    """Of a command that keeps its temporary files in `folder`."""
    (folder / "tmp").mkdir(exist_ok=True)
    return os.environ | {"TMPDIR": str(folder / "tmp"), MARK: mark, "CUDA_VISIBLE_DEVICES": ""}


def make_inputs(folder):
    """All that the jobs read, made by the commands themselves; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.toml").write_text(CONFIG)
    rng = np.random.default_rng(0)
    for i in range(4):
        k = rng.uniform(9, 14, 2000)
        table = Table({"l": rng.uniform(283.8, 286.2, k.size), "b": rng.uniform(-1.2, 1.2, k.size)})
        table["j_m"], table["k_m"] = k + rng.uniform(0.4, 1.2, k.size), k
        table["j_msigcom"] = table["k_msigcom"] = np.full(k.size, 0.03)
        table.write(folder / f"stars-{i}.csv", overwrite=True)
    steps = [
        (*MOCKS, "--out", "{in}/mocks"),
        ("train", "--records", "{in}/mocks", "--out", "{in}/training"),
        ("export", "--model", "{in}/training", "--out", "{in}/model"),
        (*SURVEY, "--out", "{in}/survey"),
        (*SCORE, "--out", "{in}/map.fits", "--samples", "4"),
        ("convert", "{in}/map.fits", "{in}/copy.fits"),
        ("convert", "{in}/map.fits", "{in}/copy.h5"),
        ("clouds", "{in}/map.fits", "--out", "{in}/clouds.ecsv"),
        (
            "evaluate",
            "--map",
            "{in}/map.fits",
            "--truth",
            "{in}/same.fits",
            "--out",
            "{in}/errors.json",
        ),
        ("report", "{in}/map.fits", "-o", "{in}/report.html"),
        ("score", "--records", "{in}/survey", "--model", "{in}/model", "--out", "{in}/other.fits"),
    ]
    for step in steps:
        command = Job("", step, "").command(folder)
        outs = [command[i + 1] for i, arg in enumerate(command) if arg in ("--out", "-o")] or command[-1:]
        out = Path(outs[0])
        if out.exists():
            continue
        if step[0] == "evaluate":
            (folder / "same.fits").write_bytes((folder / "map.fits").read_bytes())
        print(f"making {out.name}", flush=True)
        subprocess.run(command, check=True, env=environment(folder, "inputs"), capture_output=True)


def digest(path):
    """Of all that must be the same in every run: without logs, times of zip entries, and seconds spent."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    found = hashlib.sha256()
    for file in files:
        name = str(file.relative_to(path))
        if "logs" in file.parts:
            continue
        found.update(name.encode())
        if file.suffix == ".keras":
            with zipfile.ZipFile(file) as archive:
                for entry in sorted(set(archive.namelist()) - {"metadata.json"}):
                    found.update(archive.read(entry))
        elif file.suffix == ".json":
            found.update(json.dumps(_timeless(json.loads(file.read_text())), sort_keys=True).encode())
        elif file.name != "SHA256SUMS":
            found.update(file.read_bytes())
    return found.hexdigest()


def _timeless(value):
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if "seconds" not in key}
    return [_timeless(one) for one in value] if isinstance(value, list) else value
