"""The stored results as sentences and tables, written into README and docs between their marks.

    python benchmarks/pages.py

Knows benchmarks/results; measures nothing. A test says so where a page's figures are not the stored ones.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks")]

import summary  # noqa: E402
import tables  # noqa: E402
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


def streaming() -> str:
    result = stored("streaming")
    data, found = result["data"], result["found"]
    base, training, reading, small = (found[name] for name in ("imports", "training", "reading", "in memory"))
    return "\n".join(
        [
            f"One epoch on {data['gigabytes']:.1f} GB of Parquet ({data['files']} files, {data['rows']:,} rows of "
            f"{data['columns']} columns; `benchmarks/streaming.py`, {result['threads']} threads):",
            "",
            "| | peak of memory, MiB | above the imports | rows a second |",
            "| --- | --- | --- | --- |",
            f"| imports alone | {base['peak_mib']:,.0f} | | |",
            f"| reading alone | {reading['peak_mib']:,.0f} | {reading['peak_mib'] - base['peak_mib']:,.0f} "
            f"| {reading['rows_per_second']:,} |",
            f"| training | {training['peak_mib']:,.0f} | {training['peak_mib'] - base['peak_mib']:,.0f} "
            f"| {training['epoch_rows_per_second']:,} |",
            f"| training on a few of the rows, in memory | {small['peak_mib']:,.0f} "
            f"| {small['peak_mib'] - base['peak_mib']:,.0f} | {small['epoch_rows_per_second']:,} |",
            "",
            f"The whole command took {training['seconds'] / 60:.1f} minutes, two passes over the files. "
            f"Made on {made_on(result)}{provisional(result)}.",
        ]
    )


def without_torch() -> str:
    result = stored("without_torch")
    lines = [
        "A process that predicts a few rows and ends (`benchmarks/without_torch.py`, medians):",
        "",
        "| model | example: seconds | MB | whole package: seconds | MB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in result["rows"].items():
        ours, package = found["example"], found["package"]
        lines.append(
            f"| {name} | {ours['seconds']:.2f} | {ours['megabytes']:.0f} "
            f"| {package['seconds']:.2f} | {package['megabytes']:.0f} |"
        )
    return "\n".join([*lines, "", f"Made on {made_on(result)}{provisional(result)}."])


def tuning() -> str:
    result = stored("tuning")
    lines = [
        f"After {result['minutes']:g} minutes of search, on a tenth of the data that the search never saw "
        "(`benchmarks/tuning.py`; means over splits, and over seeds of both fits):",
        "",
        "| data | figure | defaults | found | better in |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, title in (("boston", "Boston housing"), ("trec", "TREC-6")):
        for figure, found in result.get(name, {}).items():
            if isinstance(found, dict) and "better_in" in found:
                better = f"{found['better_in']} of {len(result[name]['splits'])} splits"
                lines.append(f"| {title} | {figure} | {found['default']} | {found['found']} | {better} |")
    return "\n".join([*lines, "", f"Made on {made_on(result)}{provisional(result)}."])


def scaling() -> str:
    """What two workers do beside one."""
    result = stored("scaling")
    lines = [
        "A processor and a thread a worker; sequences a second of the median epoch, and milliseconds a step:",
        "",
        "| workers | sequences a second | times as many | a step | of it adding up, and waiting | adding up alone "
        "| sent instead |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in result["contenders"].items():
        ratio = f"{result['ratios'][name]:.2f}" if name in result["ratios"] else "1"
        cells = [
            row[f"{part}_ms"] for part in ("step", "adding_up_and_waiting", "adding_up_alone", "sent_instead_alone")
        ]
        times = " | ".join(f"{cell:.1f}" for cell in cells)
        lines.append(f"| {name} | {row['sequences_per_second']:,.0f} | {ratio} | {times} |")
    whole = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result["commands"].items())
    lines += [
        "",
        f"The gradient has {result['gradient_bytes']:,} bytes. A whole command ({result['sentences']:,} sentences, "
        f"{result['epochs']} epochs): {whole}.",
        f"Made by `benchmarks/scaling.py` on {made_on(result)}{provisional(result)}.",
    ]
    return "\n".join(lines)


FIGURES: dict[str, Callable[[], str]] = {
    "how_good": summary.accuracy,
    "how_fast": summary.speed,
    "how_good_zh": summary.accuracy_zh,
    "how_fast_zh": summary.speed_zh,
    "accuracy": tables.accuracy,
    "language": tables.language,
    "forecasts": tables.forecasts,
    "speech": tables.speech,
    "speed": tables.speed,
    "others": tables.others,
    "serving": serving,
    "streaming": streaming,
    "without_torch": without_torch,
    "tuning": tuning,
    "scaling": scaling,
}
PAGES = [*ROOT.glob("README*.md"), *sorted((ROOT / "docs").glob("*.md"))]
MARKED = re.compile(r"(?<=<!-- figures: )(\w+)( -->\n).*?(?=\n<!-- end of figures -->)", flags=re.DOTALL)


def filled(text: str) -> str:
    """A page with the figures between its marks made anew.

    Example:
        >>> filled("no marks")
        'no marks'
    """
    return MARKED.sub(lambda found: found[1] + found[2] + FIGURES[found[1]](), text)


if __name__ == "__main__":
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            page.write_text(after, encoding="utf-8")
            print("written", page.relative_to(ROOT))
