#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plots of one run: where the time went per operator, the roofline, time by family, utilisation over time.

Reads result.json, operators.csv, kernels.csv and utilisation.csv of a run folder; writes PNG and SVG.

usage: plot_run.py RUN_FOLDER [OUTPUT_FOLDER]
"""

import csv
import json
import pathlib
import sys

import style
from style import plt


def read_csv(folder, name):
    with open(pathlib.Path(folder) / name, newline="") as file:
        return list(csv.DictReader(file))


def number(row, column):
    return float(row[column] or 0)


def scale_of(longest_us):
    """The unit that keeps numbers between 1 and 1000: (divisor, name)."""
    return (1e6, "s") if longest_us >= 1e6 else (1e3, "ms") if longest_us >= 1e3 else (1.0, "µs")


def heading(result):
    totals = result["totals"]
    return (
        f"{result['model']}, {result['phase']} on {result['gpu']}: {totals['latency_ms']:.4g} ms, "
        f"{100 * totals['model_flops_utilisation']:.0f} % MFU"
    )


def family_colours(kinds):
    return {kind: style.PALETTE[i % len(style.PALETTE)] for i, kind in enumerate(sorted(kinds))}


# ---- Where the time of each operator went ---------------------------------------------------------------------


def plot_bottlenecks(result, operators, output):
    longest = max(number(row, "total_us") for row in operators)
    divisor, unit = scale_of(longest)
    figure, axes = plt.subplots(figsize=(8.6, 0.30 * len(operators) + 1.5), layout="constrained")
    left = [0.0] * len(operators)
    for name, words, colour in style.REASONS:
        values = [number(row, f"{name}_us") * number(row, "repeat") / divisor for row in operators]
        if sum(values) > 0.0005 * sum(number(row, "total_us") for row in operators) / divisor:
            axes.barh(range(len(operators)), values, left=left, color=colour, label=words, height=0.72, lw=0)
        left = [a + b for a, b in zip(left, values)]
    for position, row in enumerate(operators):
        axes.text(left[position] + 0.01 * longest / divisor, position, percent(number(row, "share")), va="center", fontsize=7.5)
    axes.set_yticks(range(len(operators)), [label(row) for row in operators])
    axes.set_ylim(len(operators) - 0.4, -0.6)
    axes.set_xlim(0, 1.09 * longest / divisor)
    axes.set_xlabel(f"time in the pass, all repetitions ({unit})")
    axes.set_title("What the SMs did, per operator")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle(heading(result), fontsize=9, x=0.01, ha="left")
    style.save(figure, output, "bottlenecks")


def percent(share):
    return "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def label(row):
    repeat = int(row["repeat"])
    return f"{row['operator']} ×{repeat}" if repeat > 1 else row["operator"]


# ---- Roofline -------------------------------------------------------------------------------------------------


def roofline_points(kernels):
    """(kind, FLOP per HBM byte, FLOP/s, total us, program) of every kernel that computes and moves something."""
    points = []
    for row in kernels:
        flops = number(row, "mma_useful_flops") + number(row, "vector_flops")
        moved = number(row, "hbm_read_bytes") + number(row, "hbm_written_bytes")
        if flops > 0 and moved > 0 and number(row, "time_us") > 0:
            rate = flops / (number(row, "time_us") * 1e-6)
            points.append((row["kind"], flops / moved, rate, number(row, "total_us"), row["program"]))
    return points


def plot_roofline(result, kernels, colours, output):
    points = roofline_points(kernels)
    roof = result.get("roofline", {})
    bandwidth = roof.get("hbm_gigabytes_per_s", 0) * 1e9
    peaks = {name: rate * 1e12 for name, rate in roof.get("tflops_per_s", {}).items()}
    if not points or not peaks or bandwidth <= 0:
        return
    top = max(peaks.values())
    low_x = min(min(p[1] for p in points) / 2, 0.5)
    high_x = max(max(p[1] for p in points) * 2, 4 * top / bandwidth)
    figure, axes = plt.subplots(figsize=(7.4, 4.8), layout="constrained")
    for name, peak in sorted(peaks.items(), key=lambda item: item[1]):
        ridge = peak / bandwidth
        axes.plot([low_x, ridge, high_x], [low_x * bandwidth, peak, peak], color="#444444", lw=1.2, zorder=1)
        axes.annotate(f"{name} peak, {style.engineering(peak, 'FLOP/s')}", (high_x, peak), (0, 3), textcoords="offset points",
                      ha="right", fontsize=7.5, color="#444444")
    middle = (low_x * top / bandwidth) ** 0.5
    axes.annotate(f"HBM, {style.engineering(bandwidth, 'B/s')}", (middle, middle * bandwidth), (-8, 3), textcoords="offset points",
                  ha="right", fontsize=7.5, color="#444444")
    total = sum(p[3] for p in points)
    for kind, colour in colours.items():
        mine = [p for p in points if p[0] == kind]
        if not mine:
            continue
        axes.scatter([p[1] for p in mine], [p[2] for p in mine], s=[14 + 500 * p[3] / total for p in mine], color=colour,
                     alpha=0.75, lw=0.4, edgecolors="white", label=kind.replace("_", " "), zorder=3)
    axes.set(xscale="log", yscale="log", xlim=(low_x, high_x), ylim=(min(p[2] for p in points) / 3, 2.2 * top))
    axes.set_xlabel("arithmetic intensity (FLOP per HBM byte moved)")
    axes.set_ylabel("achieved rate (FLOP/s)")
    axes.set_title("Roofline: every kernel, area by its share of the time")
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for handle in legend.legendHandles:
        handle.set_sizes([30])
    figure.suptitle(heading(result), fontsize=9, x=0.01, ha="left")
    style.save(figure, output, "roofline")


# ---- Time by operator family ----------------------------------------------------------------------------------


def plot_families(result, operators, colours, output):
    sums = {}
    for row in operators:
        sums[row["kind"]] = sums.get(row["kind"], 0) + number(row, "total_us")
    kinds = sorted(sums, key=sums.get, reverse=True)
    divisor, unit = scale_of(max(sums.values()))
    total = sum(sums.values())
    figure, axes = plt.subplots(figsize=(6.4, 0.34 * len(kinds) + 1.4), layout="constrained")
    axes.barh(range(len(kinds)), [sums[k] / divisor for k in kinds], color=[colours[k] for k in kinds], height=0.7)
    for position, kind in enumerate(kinds):
        axes.text((sums[kind] + 0.01 * max(sums.values())) / divisor, position, percent(sums[kind] / total), va="center", fontsize=8)
    axes.set_yticks(range(len(kinds)), [k.replace("_", " ") for k in kinds])
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.set_xlim(0, 1.12 * max(sums.values()) / divisor)
    axes.set_xlabel(f"time in the pass ({unit})")
    axes.set_title("Time by operator family")
    axes.grid(axis="y", visible=False)
    figure.suptitle(heading(result), fontsize=9, x=0.01, ha="left")
    style.save(figure, output, "families")


# ---- Utilisation over time ------------------------------------------------------------------------------------

RESOURCES = [("tensor", "tensor cores", "#0072B2"), ("hbm", "HBM bandwidth", "#D55E00"), ("l2", "L2 bandwidth", "#009E73")]
WHOLE_BINS, ZOOM_BINS = 160, 400


def averaged(samples, column, bins):
    """Time-weighted means of a column in equal bins: (values, bin edges in us)."""
    first, last = number(samples[0], "start_us"), number(samples[-1], "end_us")
    width = (last - first) / bins
    sums = [0.0] * bins
    for s in samples:
        start, end = number(s, "start_us") - first, number(s, "end_us") - first
        for b in range(min(int(start / width), bins - 1), min(int(end / width), bins - 1) + 1):
            sums[b] += number(s, column) * max(0.0, min(end, (b + 1) * width) - max(start, b * width))
    return [v / width for v in sums], [first + b * width for b in range(bins + 1)]


def draw_utilisation(axes, samples, unit_divisor, bins):
    for name, words, colour in RESOURCES:
        values, edges = averaged(samples, name, bins)
        edges = [(e - edges[0]) / unit_divisor for e in edges]
        axes.stairs([100 * v for v in values], edges, color=colour, lw=1.0, label=words, baseline=None)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 105))
    axes.set_ylabel("utilisation (%)")


def one_repetition(samples):
    """The samples of one middle repetition of the section that takes the most time."""
    sums = {}
    for s in samples:
        sums[s["section"]] = sums.get(s["section"], 0) + number(s, "end_us") - number(s, "start_us")
    section = max(sums, key=sums.get)
    repetitions = sorted({int(s["repetition"]) for s in samples if s["section"] == section})
    chosen = repetitions[len(repetitions) // 2]
    return section, chosen, [s for s in samples if s["section"] == section and int(s["repetition"]) == chosen]


def mark_operators(axes, samples, divisor, origin):
    """A light band per operator, named where there is room."""
    spans = []
    for s in samples:
        if not spans or spans[-1][0] != s["operator"]:
            spans.append([s["operator"], number(s, "start_us"), number(s, "end_us")])
        spans[-1][2] = number(s, "end_us")
    whole = spans[-1][2] - spans[0][1]
    for index, (name, start, end) in enumerate(spans):
        if index % 2 == 0:
            axes.axvspan((start - origin) / divisor, (end - origin) / divisor, color="#F3F3F3", lw=0, zorder=0)
        if (end - start) / whole > 0.025:
            axes.text(((start + end) / 2 - origin) / divisor, 107, name, rotation=38, ha="left", va="bottom", fontsize=7)


def draw_power(power, samples, divisor):
    watts, edges = averaged(samples, "power_w", WHOLE_BINS)
    megahertz, _ = averaged(samples, "clock_mhz", WHOLE_BINS)
    edges = [e / divisor for e in edges]
    power.stairs(watts, edges, color="#A34F80", lw=1.0, baseline=None)
    power.set(xlim=(0, edges[-1]), ylim=(0, 1.1 * max(watts) or 1))
    power.set_ylabel("power (W)", color="#A34F80")
    power.set_title("Power and SM clock (means)")
    clock = power.twinx()
    clock.stairs(megahertz, edges, color="#000000", lw=1.0, baseline=None)
    clock.set(ylim=(0, 1.1 * max(megahertz) or 1))
    clock.set_ylabel("SM clock (MHz)")
    clock.spines["right"].set_visible(True)
    clock.grid(False)


def plot_utilisation(result, samples, output):
    if not samples:
        return
    figure, (whole, zoom, power) = plt.subplots(3, 1, figsize=(8.6, 7.2), layout="constrained", height_ratios=[1, 1.15, 0.7])
    divisor, unit = scale_of(number(samples[-1], "end_us"))
    draw_utilisation(whole, samples, divisor, WHOLE_BINS)
    whole.set_xlabel(f"time ({unit})")
    whole.set_title("Utilisation over the whole pass (means)")
    whole.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    section, repetition, part = one_repetition(samples)
    origin = number(part[0], "start_us")
    part_divisor, part_unit = scale_of(number(part[-1], "end_us") - origin)
    draw_utilisation(zoom, part, part_divisor, ZOOM_BINS)
    mark_operators(zoom, part, part_divisor, origin)
    zoom.set_xlabel(f"time since its start ({part_unit})")
    zoom.set_title(f'One repetition of "{section}" (number {repetition + 1})', pad=46)
    draw_power(power, samples, divisor)
    power.set_xlabel(f"time ({unit})")
    figure.suptitle(heading(result), fontsize=9, x=0.01, ha="left")
    style.save(figure, output, "utilisation")


def main(folder, output):
    style.use()
    result = json.loads((pathlib.Path(folder) / "result.json").read_text())
    operators = read_csv(folder, "operators.csv")
    if not operators:
        sys.exit(f"{folder}: operators.csv has no row")
    plot_bottlenecks(result, operators, output)
    colours = family_colours({row["kind"] for row in operators})
    plot_roofline(result, read_csv(folder, "kernels.csv"), colours, output)
    plot_families(result, operators, colours, output)
    plot_utilisation(result, read_csv(folder, "utilisation.csv"), output)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[-1])
