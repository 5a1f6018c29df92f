"""What damaged tables do to the readers.

    python tests/benchmarks/mutations.py --number 100000

Small inputs of every kind are made, damaged at random (seeded) and read in child processes with bounds on
memory and time. Each outcome is counted: read, one line of error, several lines, a traceback (any other
error), a death of the process, or a hang. What is none of the first two is printed with its number; with
``--only NUMBER`` that one is repeated and its traceback shown.
"""

import argparse
import collections
import contextlib
import gzip
import io
import os
import queue
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from astropy.io import fits
from astropy.table import Table

MEMORY_BYTES = 6 << 30
# Of the processor, and of the clock for one that does nothing.
SECONDS = 20.0
SLEEP_SECONDS = 900.0
N_ROWS = 8
TOKENS = [
    *(b"", b"\0", b"\n", b"\r", b'"', b"'", b"#", b"|", b"\t", b",", b";", b"\\", b"<", b"&", b"]]>", b"--"),
    *(b"nan", b"-1", b"0", b"999999999", b"100000000000000000000", b"-99999", b"1e999", b"1D+5", b"INDEF"),
    *("\u2028".encode(), b"\x0c", b"\xff", b"\xc3", b"END     ", b"OVERFLOW", b"T", b"A", b"P", b"9" * 5000),
]


def stars():
    """Columns of a few stars."""
    rng = np.random.default_rng(0)
    columns = {"ra": rng.uniform(158, 159, N_ROWS), "dec": rng.uniform(-58, -57, N_ROWS)}
    for band, mag in (("j", 12.0), ("k", 11.0)):
        columns[f"{band}_m"] = np.round(mag + rng.uniform(0, 2, N_ROWS), 3)
        columns[f"{band}_msigcom"] = np.full(N_ROWS, 0.03)
    return columns | {"ph_qual": np.array(["AAA"] * N_ROWS)}


def written(table, form, **how):
    out = io.BytesIO() if form in ("fits", "votable") else io.StringIO()
    table.write(out, format=form, **how)
    content = out.getvalue()
    return content if isinstance(content, bytes) else content.encode()


def inputs():
    """Name -> (bytes, how they are read)."""
    table = Table(stars())
    made = {
        form: written(table, f"ascii.{form}")
        for form in ("csv", "tab", "ecsv", "ipac", "fixed_width", "basic", "commented_header", "mrt")
    }
    made |= {form: written(table, form) for form in ("fits", "votable")}
    made["votable binary"] = written(table, "votable", tabledata_format="binary2")
    hdu = fits.TableHDU.from_columns(
        [
            fits.Column(c, "A3" if c == "ph_qual" else "F10.4", array=table[c], ascii=True)
            for c in table.colnames
        ]
    )
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(out)
    made["fits ascii"] = out.getvalue()
    out = io.BytesIO()
    pa.parquet.write_table(pa.table({c: table[c].tolist() for c in table.colnames}), out)
    made["parquet"] = out.getvalue()
    vizier = made["tab"].split(b"\n", 1)
    rules = b"\t".join([b"deg", b"deg", *[b"mag"] * 4, b""]) + b"\n" + b"\t".join([b"---"] * 7) + b"\n"
    part = b"#RESOURCE=yCat_2246\n#Name: II/246\n\n" + vizier[0] + b"\n" + rules + vizier[1] + b"\n"
    made["vizier"] = b"#\n# VizieR\n" + part + part.replace(b"j_m\t", b"g_m\t")
    made["csv gzip"] = gzip.compress(made["csv"], mtime=0)
    found = {f"survey {name}": (content, "survey") for name, content in made.items()}
    whole = ("csv", "ecsv", "ipac", "mrt", "fits", "fits ascii", "votable", "parquet", "fixed_width")
    found |= {f"whole {name}": (made[name], "whole") for name in whole}
    model = Table({"Dist": [0.5, 2.0], "l": [280.1, 279.9], "b": [-3.1, -2.9], "Av": [0.0, 0.0]})
    model["J"], model["Ks"] = [11.8, 12.4], [11.0, 11.5]
    found["model csv"] = written(model, "ascii.csv"), "model"
    lines = b"#area = 4.0 sq deg\n" + b"Gc m-M0 Av J H Ks\n" + b"1 10.1 0.0 12.1 11.5 11.2\n" * 4
    found["model trilegal"] = lines + b"#TRILEGAL normally terminated\n", "model"
    header, row = "  Dist    Mv  CL J-K    V-K    V  Av", "  0.500 10.2  5  0.800  4.000 15.000  0.0"
    resu = f"BESANCON MODEL\n(l = 280.0; b = -3.0) Solid angle 0.250 square degree\n{header}\n{row}\n{row}\n"
    found["model besancon"] = (resu + f"{header}\nTOTAL NUMBER OF STARS : 2\n").encode(), "model"
    with contextlib.suppress(ImportError):
        import h5py

        out = io.BytesIO()
        with h5py.File(out, "w") as file:
            for column in model.colnames:
                file[f"table/columns/{column}/data"] = np.asarray(model[column])
        found["model hdf5"] = out.getvalue(), "model"
    clouds = b"region,distance_pc,err_pc,l_deg,b_deg\ncarina,2500,100,285.0,0.0\n"
    found["clouds"] = clouds, "clouds"
    found["marshall"] = b"GLON\tGLAT\tr1\text1\te_ext1\n283.0\t-1.0\t1.0\t0.1\t0.02\n", "other"
    block = "# Line-of-Sight Reddening Results\n#  l = 90.0\n#  b = 0.5\n SampleNo | DistanceModulus\n"
    block += "          |  5.00  7.50\n    0     | 0.100 0.300\n    1     | 0.200 0.200\n"
    found["bayestar"] = block.encode(), "other"
    return found


def damaged(content, rng):
    """The content with one to four damages."""
    zipped = content.startswith(b"\x1f\x8b") and rng.random() < 0.5
    content = bytearray(gzip.decompress(content) if zipped else content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        if not content:
            break
        at = rng.randrange(len(content))
        to = min(len(content), at + int(2 ** rng.uniform(0, 12)))
        kind = rng.randrange(8)
        if kind == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[at:]
        elif kind == 2:
            del content[at:to]
        elif kind == 3:
            content[at:at] = content[at:to]
        elif kind == 4:
            token = rng.choice(TOKENS)
            content[at : at + len(token)] = token
        elif kind == 5:
            content[at:at] = rng.choice(TOKENS)
        elif kind == 6:
            digits = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
            if digits:
                content[rng.choice(digits)] = rng.choice(b"-0123456789.e")
        else:
            content[at:to] = rng.randbytes(min(to - at, 64))
    return gzip.compress(bytes(content), mtime=0) if zipped else bytes(content)


def read(path, how):
    """Read a file as a command would."""
    from extmap_tf.catalogs.model_tables import read_model_catalog
    from extmap_tf.catalogs.survey_tables import read_survey_table
    from extmap_tf.compare.other_maps import open_other
    from extmap_tf.compare.published_clouds import read_cloud_distances
    from extmap_tf.map.table_query import read_table
    from extmap_tf.settings.config import Config

    survey = Config.named("carina").survey
    if how == "survey":
        with open(path, "rb") as stream:
            for _ in read_survey_table(stream, str(path), survey):
                pass
    elif how == "model":
        read_model_catalog(path, survey, 1.0, 280.0, -3.0, a_over_av=lambda um: 0.4 * um**-1.6)
    else:
        {"whole": read_table, "clouds": read_cloud_distances, "other": open_other}[how](path)


def child(seed, numbers, show, args):
    """Read some damaged inputs; one line each on standard output."""
    made = inputs()
    names = sorted(made)
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        path = Path(folder) / "table"
        for number in numbers:
            name = names[number % len(names)]
            content, how = made[name]
            path.write_bytes(damaged(content, random.Random(f"{seed} {number}")))
            tell(number, name, lambda how=how: read(path, how), show)


def tell(number, name, work, show):
    """Print what became of one damaged input."""
    from extmap_tf.errors import ExtmapError

    outcome = "read"
    try:
        work()
    except ExtmapError as error:
        outcome = "one line" if "\n" not in str(error) else f"several lines: {str(error)[:200]!r}"
        if show:
            print(error, file=sys.stderr)
    # What would be a traceback on the command line is what is looked for.
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        outcome = f"traceback: {type(error).__name__} {Path(place.filename).name}:{place.lineno}"
        if show:
            traceback.print_exc()
    print(f"{number}\t{name}\t{' '.join(outcome.split(chr(9)))}".replace("\n", " "), flush=True)


def run(seed, numbers, script):
    """Outcomes of damaged inputs: (number, name, outcome); children that die or hang are replaced."""
    numbers = collections.deque(numbers)
    while numbers:
        part = [numbers[i] for i in range(min(5000, len(numbers)))]
        command = [sys.executable, *script, "--seed", str(seed), "--child", f"{part[0]},{part[-1]}"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            lines = queue.Queue()
            threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True).start()
            while numbers and numbers[0] <= part[-1]:
                line = _next_line(lines, process.pid)
                outcome = [numbers[0], "?", "hang" if line is None else "death"]
                if line:
                    outcome = line.rstrip("\n").split("\t")
                numbers.popleft()
                yield int(outcome[0]), outcome[1], outcome[2]
                if outcome[2] in ("death", "hang"):
                    process.kill()
                    break


def _next_line(lines, pid):
    """What a child prints next; None if it works on one input for too long, or sleeps."""
    start, until = used_seconds(pid), time.monotonic() + SLEEP_SECONDS
    while used_seconds(pid) - start < SECONDS and time.monotonic() < until:
        with contextlib.suppress(queue.Empty):
            return lines.get(timeout=1.0)
    return None


def used_seconds(pid):
    """Processor seconds of a process so far, which a busy machine does not change; 0 once it has ended."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _pass_on(stream, lines):
    for line in stream:
        lines.put(line)
    lines.put("")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    campaign(parser, child, lambda args: [__file__])


def campaign(parser, child, script):
    """Run a campaign by its options and print the counts.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    child : callable
        Called with a seed, numbers, whether to show, and the options; prints by `tell`.
    script : callable
        From the options to the script, with options, whose children read.
    """
    parser.add_argument("--number", type=int, default=20_000, help="of damaged inputs (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="repeat one, with its message")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        first, last = map(int, args.child.split(","))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        child(args.seed, range(first, last + 1), False, args)
        # A thread of a reader may still hold the interpreter.
        sys.stdout.flush()
        os._exit(0)
    if args.only is not None:
        child(args.seed, [args.only], True, args)
        return
    counts = collections.Counter()
    for number, name, outcome in run(args.seed, range(args.first, args.first + args.number), script(args)):
        counts[outcome.split(":")[0]] += 1
        if outcome not in ("read", "one line"):
            print(f"{number}: {name}: {outcome}", flush=True)
    print(", ".join(f"{outcome}: {n}" for outcome, n in counts.most_common()))


if __name__ == "__main__":
    main()
