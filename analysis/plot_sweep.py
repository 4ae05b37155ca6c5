#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plots of a sweep: curves over one axis, a heat map over two; more axes: curves, one line per combination.

Reads points.csv of a sweep folder: the columns before "status" are the axes, those after it the results.

usage: plot_sweep.py SWEEP_FOLDER [OUTPUT_FOLDER]
"""

import csv
import pathlib
import sys

import style
from style import matplotlib, plt

# What is drawn, in this order: (column, label, factor).
METRICS = [
    ("latency_ms", "latency (ms)", 1),
    ("tokens_per_s", "throughput (tokens/s)", 1),
    ("model_flops_utilisation", "model FLOPs utilisation (%)", 100),
    ("energy_per_token_j", "energy (J per token)", 1),
]


def read_points(folder):
    """(axes, rows that have a result)."""
    with open(pathlib.Path(folder) / "points.csv", newline="") as file:
        reader = csv.DictReader(file)
        axes = reader.fieldnames[: reader.fieldnames.index("status")]
        return axes, [row for row in reader if row["status"] == "done"]


def as_number(text):
    try:
        return float(text)
    except ValueError:
        return None


def values_of(rows, axis):
    """Distinct values of an axis: numbers in order, words as they come."""
    values = list(dict.fromkeys(row[axis] for row in rows))
    return sorted(values, key=float) if all(as_number(v) is not None for v in values) else values


def short(axis):
    return " ".join(axis.split(".")[-2:]).replace("_", " ")


def position(values):
    """Where each value stands on the axis, and whether it is spread over decades."""
    numbers = [as_number(v) for v in values]
    if any(n is None for n in numbers):
        return {v: i for i, v in enumerate(values)}, False, True
    spread = min(numbers) > 0 and max(numbers) / min(numbers) >= 30
    return dict(zip(values, numbers)), spread, False


def draw_curves(axes, rows, axis, others, column, factor):
    values = values_of(rows, axis)
    place, spread, words = position(values)
    lines = list(dict.fromkeys(tuple(row[o] for o in others) for row in rows))
    for index, line in enumerate(lines):
        mine = sorted((place[r[axis]], float(r[column]) * factor) for r in rows if tuple(r[o] for o in others) == line)
        axes.plot([m[0] for m in mine], [m[1] for m in mine], marker=style.MARKERS[index % 8], ms=4, lw=1.3,
                  color=style.PALETTE[index % 8], label=", ".join(f"{short(o)} {v}" for o, v in zip(others, line)))
    if spread:
        axes.set_xscale("log", base=2 if all(float(v).is_integer() and float(v) > 0 for v in values) else 10)
    if words or len(values) <= 10:
        axes.set_xticks([place[v] for v in values], values)
        axes.minorticks_off()
    axes.set_xlabel(short(axis))
    axes.set_ylim(0, 1.06 * max(float(row[column]) * factor for row in rows) or 1)


def draw_heat_map(figure, axes, rows, x_axis, y_axis, column, factor):
    xs, ys = values_of(rows, x_axis), values_of(rows, y_axis)
    grid = [[float("nan")] * len(xs) for _ in ys]
    for row in rows:
        grid[ys.index(row[y_axis])][xs.index(row[x_axis])] = float(row[column]) * factor
    flat = [v for line in grid for v in line if v == v]
    decades = min(flat) > 0 and max(flat) / min(flat) > 30
    norm = matplotlib.colors.LogNorm() if decades else None
    image = axes.imshow(grid, origin="lower", aspect="auto", cmap="cividis", norm=norm)
    axes.set_xticks(range(len(xs)), xs)
    axes.set_yticks(range(len(ys)), ys)
    axes.set_xlabel(short(x_axis))
    axes.set_ylabel(short(y_axis))
    axes.grid(False)
    if len(xs) * len(ys) <= 100:
        for y, line in enumerate(grid):
            for x, value in enumerate(line):
                if value == value:
                    text = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
                    colour = "black" if image.norm(value) > 0.5 else "white"
                    axes.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, ax=axes, pad=0.02)


def main(folder, output):
    style.use()
    axes_names, rows = read_points(folder)
    varied = [a for a in axes_names if len({row[a] for row in rows}) > 1] or axes_names[:1]
    metrics = [m for m in METRICS if rows and rows[0].get(m[0])]
    if not rows or not metrics or not varied:
        sys.exit(f"{folder}: points.csv has no finished point to draw")
    heat_map = len(varied) == 2 and min(len(values_of(rows, a)) for a in varied) > 2
    figure, grid = plt.subplots(2, 2, figsize=(9.4, 6.6), layout="constrained")
    for axes, (column, words, factor) in zip(grid.flat, metrics):
        if heat_map:
            draw_heat_map(figure, axes, rows, varied[1], varied[0], column, factor)
        else:
            axis = max(varied, key=lambda a: len(values_of(rows, a)))
            draw_curves(axes, rows, axis, [a for a in varied if a != axis], column, factor)
        axes.set_title(words)
    for axes in grid.flat[len(metrics):]:
        axes.set_axis_off()
    if not heat_map and len(varied) > 1:
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=min(4, len(labels)))
    figure.suptitle(pathlib.Path(folder).resolve().name, fontsize=9, x=0.01, ha="left")
    style.save(figure, output, "sweep")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[-1])
