"""Tells MkDocs which files the site has: pages where they stand in the repository, and whatever they link to.

So docs/text.md is docs/text.html, README.md is index.html, and `../benchmarks/README.md` is right in both worlds.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = ("*.md", "docs/*.md", "benchmarks/*.md", "examples/*.md")
LINK = re.compile(r"\]\(([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """All pages of the repository, the pictures and source files that they link to, what every page loads."""
    pages = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    targets = [(page.parent / target).resolve() for page in pages for target in LINK.findall(page.read_text("utf-8"))]
    linked = {path for path in targets if path.is_file() and path.is_relative_to(ROOT)}
    loaded = [ROOT / name for name in (*config.extra_css, *config.extra["polyfills"])]
    theme = [file for file in files if file.src_dir != config.docs_dir]
    ours = [
        File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
        for path in [*pages, *sorted(linked - {*pages}), *loaded]
    ]
    return Files([*theme, *ours])
