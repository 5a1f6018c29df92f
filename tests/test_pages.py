"""The pages hold together: links, commands and examples."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

import extmap_tf
from extmap_tf.cli import command_parser

ROOT = Path(extmap_tf.__file__).parents[1]
PAGES = sorted(
    path
    for folder in ("", "beam_jobs", "extmap_tf/*", "saved_models", "tests/benchmarks")
    for path in ROOT.glob(f"{folder}/*.md" if folder else "*.md")
)
CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [text for kind, text in CODE.findall(page.read_text()) if kind == language]


def anchors(page):
    """Names of a page's headings as they stand in links."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text()), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def commands(page):
    for text in blocks(page, "bash"):
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("extmap-tf"):
                yield line


def of_page(path):
    return str(path.relative_to(ROOT))


pages = pytest.mark.parametrize("page", PAGES, ids=of_page)


def test_there_is_a_page_for_each_large_room():
    found = {of_page(path) for path in PAGES}
    rooms = ("map", "serving", "configs", "catalogs", "cli")
    assert {"README.md", "CHANGELOG.md", "beam_jobs/README.md", "saved_models/README.md"} <= found
    assert {f"extmap_tf/{room}/README.md" for room in rooms} | {"tests/benchmarks/README.md"} <= found


@pages
def test_links_and_images_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), link


@pages
def test_commands_are_understood(page):
    for line in commands(page):
        try:
            args, rest = command_parser().parse_known_args(shlex.split(line)[1:])
        except SystemExit:
            pytest.fail(f"not understood: {line}")
        assert args.beam or not rest, f"{line}: {rest}"


@pages
def test_examples_can_be_read(page):
    for text in blocks(page, "python"):
        compile(text, of_page(page), "exec")
    for text in blocks(page, "toml"):
        tomllib.loads(text)


def test_the_front_page_is_short_and_begins_with_a_figure():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    assert "![" in text.split("## Start")[0]


def test_the_front_page_starts_with_the_demo_and_the_tests():
    demo, tests = blocks(ROOT / "README.md", "sh")
    assert demo.endswith("pip install --quiet .\nextmap-tf demo --out demo\n")
    assert tests.endswith("python -m pytest tests\n")


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {extmap_tf.__version__}\n" in text
