#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch's own kernels (matmul, attention backends, norms, a compiled scan) where torch and a GPU are present.

Writes a table in the format of `lightcone-gpu measure`: columns source, gpu, op, params, dtype, time_us, value, unit,
kernel, note, flag. Calls on rotating random operands are captured in a CUDA graph, replayed between two events; the
median replay divided by its calls is the time. What cannot be captured is timed as a stream of calls and says so.
`--list` shows the shapes and needs neither torch nor a GPU.
"""

import argparse
import csv
import json
import statistics
import sys
import time

COLUMNS = ["source", "gpu", "op", "params", "dtype", "time_us", "value", "unit", "kernel", "note", "flag"]
LAUNCHES = 10
QUICK_SECONDS, FULL_SECONDS = 240, 1200

# Names in measured tables, most particular first: part of the device's name, name in the table (as models/cuda/measure).
GPUS = [("A100-SXM4-80GB", "A100-SXM-80GB"), ("A100-SXM4-40GB", "A100-SXM-40GB"), ("A100 80GB PCIe", "A100-PCIe-80GB"),
        ("A100-PCIE-40GB", "A100-PCIe-40GB"), ("H100 80GB HBM3", "H100-SXM-80GB"), ("H100 PCIe", "H100-PCIe-80GB"),
        ("GH200 480GB", "GH200-96GB"), ("H200", "H200-SXM-141GB"), ("H20", "H20-SXM-96GB"),
        ("GB200", "GB200-SXM-186GB"), ("B200", "B200-SXM-180GB"), ("L40S", "L40S"), ("L40", "L40")]


def gpu_name(device):
    for part, name in GPUS:
        if part in device:
            return name
    return device.removeprefix("NVIDIA ").replace(" ", "-")


def gemm_shapes(quick):
    layers = [(4096, 4096), (28672, 4096), (4096, 14336), (8192, 8192)]
    for n, k in layers[:1] if quick else layers:
        for m in (16, 128, 1024, 4096) if quick else (1, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192):
            yield "gemm", {"m": m, "n": n, "k": k}


def attention_shapes(quick):
    for heads, kv_heads, dim in [(32, 8, 128)] if quick else [(32, 8, 128), (32, 32, 128), (16, 16, 64)]:
        for tokens in (512, 2048, 8192) if quick else (256, 512, 1024, 2048, 4096, 8192, 16384):
            yield "attention_prefill", {"batch": 1, "heads": heads, "kv_heads": kv_heads, "q_len": tokens,
                                        "kv_len": tokens, "head_dim": dim, "causal": 1, "kv_dtype": "bf16"}
        for batch in (8, 32):
            for keys in (2048, 8192):
                yield "attention_decode", {"batch": batch, "heads": heads, "kv_heads": kv_heads, "q_len": 1,
                                           "kv_len": keys, "head_dim": dim, "causal": 1, "kv_dtype": "bf16"}


def row_shapes(quick):
    for op in ("softmax", "rmsnorm", "layernorm"):
        for m in (1024, 16384) if quick else (1, 64, 1024, 4096, 16384):
            for n in (4096,) if quick else (1024, 4096, 8192):
                yield op, {"m": m, "n": n}


def scan_shapes(quick):
    for tokens in (2048,) if quick else (512, 2048, 8192):
        yield "linear_scan", {"batch": 1, "seq": tokens, "channels": 4096}


def shapes(quick, ops):
    everything = [shape for group in (gemm_shapes, attention_shapes, row_shapes, scan_shapes) for shape in group(quick)]
    known = sorted({op for op, _ in everything})
    for op in ops:
        if op not in known:
            sys.exit(f'measure_pytorch: op "{op}" is not measured; there are: {", ".join(known)}')
    return [shape for shape in everything if not ops or shape[0] in ops]


class Timer:
    """Graph replays of calls that rotate through copies of their operands."""

    def __init__(self, torch, quick):
        self.torch = torch
        self.replays = 10 if quick else 30
        self.l2_bytes = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 50 << 20)

    def copies(self, make):
        """Operands of several calls, of more than twice the L2 in all; a single copy where memory does not allow."""
        first = make()
        size = max(1, sum(t.numel() * t.element_size() for t in first))
        count = min(32, 2 * self.l2_bytes // size + 2, max(1, self.torch.cuda.mem_get_info()[0] // 4 // size))
        return [first] + [make() for _ in range(count - 1)]

    def time_us(self, call, operands):
        """Median time of a call, the number of its launches per replay, and how it was timed."""
        torch = self.torch
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                call(*operands[0])
        torch.cuda.synchronize()

        def many():
            for i in range(LAUNCHES):
                call(*operands[i % len(operands)])

        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                many()
            replay, how = graph.replay, "graph"
        except RuntimeError:
            torch.cuda.synchronize()
            replay, how = many, "stream"
        for _ in range(2):
            replay()
        times = []
        for _ in range(self.replays):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            replay()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) * 1e3 / LAUNCHES)
        return statistics.median(times), how


def kernels_of(torch, op, p):
    """(name, function that makes operands, function that is timed) of each way in which PyTorch computes the op."""
    def random(*sizes):
        return torch.randn(*sizes, device="cuda", dtype=torch.bfloat16)

    functional = torch.nn.functional
    if op == "gemm":
        yield "torch.nn.functional.linear", lambda: (random(p["m"], p["k"]), random(p["n"], p["k"])), functional.linear
    elif op.startswith("attention"):
        from torch.nn.attention import SDPBackend, sdpa_kernel

        def operands():
            kv = (p["batch"], p["kv_heads"], p["kv_len"], p["head_dim"])
            return random(p["batch"], p["heads"], p["q_len"], p["head_dim"]), random(*kv), random(*kv)

        for name in ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION", "MATH"):
            backend = getattr(SDPBackend, name, None)
            if backend is None or (name == "MATH" and p["q_len"] > 4096):  # its scores would not fit
                continue

            def attend(q, k, v, backend=backend):
                with sdpa_kernel(backend):
                    return functional.scaled_dot_product_attention(
                        q, k, v, is_causal=p["q_len"] > 1, enable_gqa=p["heads"] != p["kv_heads"])

            yield "sdpa_" + name.lower(), operands, attend
    elif op == "softmax":
        yield "torch.softmax", lambda: (random(p["m"], p["n"]),), lambda x: torch.softmax(x, -1)
    elif op == "rmsnorm":
        yield ("torch.nn.functional.rms_norm", lambda: (random(p["m"], p["n"]), random(p["n"])),
               lambda x, w: functional.rms_norm(x, (p["n"],), w))
    elif op == "layernorm":
        yield ("torch.nn.functional.layer_norm", lambda: (random(p["m"], p["n"]), random(p["n"]), random(p["n"])),
               lambda x, w, b: functional.layer_norm(x, (p["n"],), w, b))
    elif op == "linear_scan":
        def scan(log_a, b):  # h_t = a_t h_{t-1} + b_t by doubling: log2(T) passes, fused by the compiler
            a, h, distance = log_a.exp(), b, 1
            while distance < h.shape[1]:
                shifted_a = functional.pad(a[:, :-distance], (0, 0, distance, 0), value=1.0)
                shifted_h = functional.pad(h[:, :-distance], (0, 0, distance, 0))
                h, a, distance = h + a * shifted_h, a * shifted_a, 2 * distance
            return h

        size = (p["batch"], p["seq"], p["channels"])
        yield ("torch.compile_doubling_scan",
               lambda: (-torch.rand(*size, device="cuda"), torch.randn(*size, device="cuda")), torch.compile(scan))


def telemetry(torch):
    """Clock, power and temperature where torch can ask NVML."""
    parts = []
    for read, unit, divisor in ((torch.cuda.clock_rate, "MHz", 1), (torch.cuda.power_draw, "W", 1000),
                                (torch.cuda.temperature, "C", 1)):
        try:
            parts.append(f"{read() // divisor} {unit}")
        except Exception:  # NVML or its Python module is missing
            pass
    return ", ".join(parts)


def measure(torch, chosen, quick, out):
    gpu = gpu_name(torch.cuda.get_device_name(0))
    source = f"lightcone-gpu:torch-{torch.__version__}"
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    timer, begin = Timer(torch, quick), time.monotonic()
    budget = QUICK_SECONDS if quick else FULL_SECONDS
    for number, (op, params) in enumerate(chosen):
        if time.monotonic() - begin > 0.95 * budget:
            print(f"{len(chosen) - number} shapes were left out: the time was up", file=sys.stderr)
            return
        for kernel, make, call in kernels_of(torch, op, params):
            try:
                operands = timer.copies(make)
                us, how = timer.time_us(call, operands)
            except (RuntimeError, torch.cuda.OutOfMemoryError) as error:
                print(f"{op} {params} {kernel}: {str(error).splitlines()[0]}", file=sys.stderr)
                continue
            note = f"{how} of {LAUNCHES} x {timer.replays}, median; {len(operands)} copies of random operands"
            dtype = "fp32" if op == "linear_scan" else "bf16"
            writer.writerow([source, gpu, op, json.dumps(params, separators=(",", ":")), dtype, f"{us:.6g}", "", "",
                             kernel, f"{note}; {telemetry(torch)}", ""])
            out.flush()
            print(f"{op:20} {kernel:32} {us:12.2f} us  {params}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few shapes of every op: under 4 minutes instead of 20")
    parser.add_argument("--ops", default="", help="only these ops, separated by commas")
    parser.add_argument("--out", default="measured_torch.csv", help="the table")
    parser.add_argument("--list", action="store_true", help="show the shapes; needs no GPU")
    options = parser.parse_args()
    chosen = shapes(options.quick, [op for op in options.ops.split(",") if op])
    if options.list:
        for op, params in chosen:
            print(op, json.dumps(params))
        return 0
    try:
        import torch
    except ImportError:
        print("measure_pytorch: torch is not installed", file=sys.stderr)
        return 1
    if not torch.cuda.is_available():
        print("measure_pytorch: torch sees no GPU", file=sys.stderr)
        return 1
    with open(options.out, "w", newline="", encoding="utf-8") as out, torch.inference_mode():
        measure(torch, chosen, options.quick, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
