#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Predicted against measured times, one panel per operator. Reads points.csv of a validation folder.

usage: plot_validation.py FOLDER [OUTPUT_FOLDER]
"""

import csv
import math
import pathlib
import statistics
import sys

import style
from style import plt


def read_points(folder):
    """Rows with a measured and a predicted time: (op, gpu, measured, predicted)."""
    points = []
    with open(pathlib.Path(folder) / "points.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["predicted_us"] and row["time_us"]:
                points.append((row["op"], row["gpu"], float(row["time_us"]), float(row["predicted_us"])))
    return points


def draw_panel(axes, op, points, gpus):
    low = min(min(p[2], p[3]) for p in points) / 1.6
    high = max(max(p[2], p[3]) for p in points) * 1.6
    line = [low, high]
    axes.fill_between(line, [v / 1.2 for v in line], [v * 1.2 for v in line], color="#EFEFEF", zorder=0, lw=0)
    axes.plot(line, line, color="#666666", lw=1, zorder=1)
    for index, gpu in enumerate(gpus):
        mine = [p for p in points if p[1] == gpu]
        axes.plot(
            [p[2] for p in mine],
            [p[3] for p in mine],
            style.MARKERS[index % len(style.MARKERS)],
            color=style.PALETTE[index % len(style.PALETTE)],
            ms=3.2,
            mew=0,
            alpha=0.6,
            label=gpu,
            zorder=2 + index,
        )
    axes.set(xscale="log", yscale="log", xlim=line, ylim=line, aspect="equal")
    long = [abs(p[3] / p[2] - 1) for p in points if p[2] >= 10]
    text = f"median error {100 * statistics.median(long):.1f} %, mean {100 * statistics.fmean(long):.1f} %" if long else ""
    axes.set_title(op.replace("_", " "))
    axes.text(0.03, 0.97, f"{len(points)} points\n{text}", transform=axes.transAxes, va="top", fontsize=7.5, color="#333333")


def main(folder, output):
    style.use()
    points = read_points(folder)
    if not points:
        sys.exit(f"{folder}: no point has both a measured and a predicted time")
    ops = sorted({p[0] for p in points})
    gpus = sorted({p[1] for p in points})
    columns = min(4, len(ops))
    rows = math.ceil(len(ops) / columns)
    figure, grid = plt.subplots(rows, columns, figsize=(3.2 * columns, 3.3 * rows + 0.5), squeeze=False, layout="constrained")
    for axes, op in zip(grid.flat, ops):
        draw_panel(axes, op, [p for p in points if p[0] == op], gpus)
    for axes in grid.flat[len(ops):]:
        axes.set_axis_off()
    figure.supxlabel("measured time (µs)", fontsize=9)
    figure.supylabel("predicted time (µs)", fontsize=9)
    handles = [
        plt.Line2D([], [], ls="", marker=style.MARKERS[i % 8], color=style.PALETTE[i % 8], label=gpu) for i, gpu in enumerate(gpus)
    ]
    handles.append(plt.Rectangle((0, 0), 1, 1, color="#EFEFEF", label="within a factor of 1.2"))
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=min(5, len(handles)))
    style.save(figure, output, "predicted_vs_measured")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[-1])
