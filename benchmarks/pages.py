"""The stored results as sentences and tables of the pages in docs. Knows benchmarks/results; measures nothing.

    python benchmarks/pages.py

A test compares each with its page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from tables import made_on, provisional, stored  # noqa: E402


def serving() -> str:
    result = stored("serving")
    together, alone = result["found"]["together"], result["found"]["one by one"]
    memory = result["memory_mib"]
    return "\n".join(
        [
            f"{result['clients']} callers at once, each with one sentence for a classifier (`benchmarks/serving.py`, "
            f"{result['threads']} thread a prediction):",
            "",
            "| predicted | answers a second | median, ms | 99 of 100 within, ms |",
            "| --- | --- | --- | --- |",
            *(
                f"| {name} | {found['per_second']:,.0f} | {found['p50_ms']:.0f} | {found['p99_ms']:.0f} |"
                for name, found in (("together", together), ("one by one", alone))
            ),
            "",
            f"No answer was wrong or missing. Memory after 1,000 requests {memory['first']:.0f} MiB, after "
            f"{memory['requests']:,} {memory['last']:.0f} MiB. Made on {made_on(result)}{provisional(result)}.",
        ]
    )


PAGES: dict[str, Callable[[], str]] = {"docs/serving.md": serving}

if __name__ == "__main__":
    for page, made in PAGES.items():
        print(f"--- {page}\n{made()}\n")
