# SPDX-License-Identifier: Apache-2.0
"""The look that all plots share: a palette that colour-blind readers can tell apart, and how figures are saved."""

import os
import pathlib
import tempfile

# matplotlib wants a writable folder for its font cache; without a home there may be none.
if not os.access(os.environ.get("MPLCONFIGDIR", os.path.expanduser("~")), os.W_OK):
    os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="lightcone-matplotlib-")

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Okabe and Ito, "Color Universal Design" (2008), ordered so that neighbours differ in lightness too.
PALETTE = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]

# Every reason that an SM cycle can have: (name in result files, words, colour). Busy units are saturated, waiting is
# light, time without work is grey.
REASONS = [
    ("tensor", "tensor cores", "#0072B2"),
    ("sfu", "special functions", "#CC79A7"),
    ("fp32", "FP32 lanes, issue", "#009E73"),
    ("shared", "shared memory", "#E69F00"),
    ("l1", "load/store unit", "#8C510A"),
    ("wait_l2", "waiting for L2", "#F0E442"),
    ("wait_hbm", "waiting for HBM", "#D55E00"),
    ("wait_store", "waiting for stores", "#F4A582"),
    ("wait_barrier", "waiting for barriers, latency", "#56B4E9"),
    ("launch", "launch", "#737373"),
    ("idle", "no CTA resident", "#D0D0D0"),
    ("communication", "messages between GPUs", "#000000"),
]


def use():
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#E2E2E2",
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "svg.fonttype": "none",
            "svg.hashsalt": "lightcone",  # the same figure gives the same bytes
        }
    )


def save(figure, folder, name):
    """Writes NAME.png and NAME.svg into the folder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write(figure, folder / f"{name}.png", {"Software": None})
    write(figure, folder / f"{name}.svg", {"Date": None})
    plt.close(figure)


def write(figure, path, metadata):
    """A plot appears whole or not at all: a full disk leaves no half of one."""
    part = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(part, format=path.suffix[1:], bbox_inches="tight", metadata=metadata)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def engineering(value, unit):
    """1.5e13, "FLOP/s" -> "15 TFLOP/s"."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"
