// SPDX-License-Identifier: Apache-2.0
// Mixture of experts: routers (Mixtral, Qwen3-MoE, gpt-oss, DeepSeek-V2 and V3), the experts themselves, and the forms
// in which they are computed: every expert on every token (definition), tokens grouped by expert (dropless grouped
// GEMM), and fixed buffers with a capacity (GShard). Not modelled: auxiliary losses, jitter.
#pragma once

#include "models/reference/attention.h"
#include "models/reference/top_k.h"

namespace lightcone::models::reference {

// For each token its experts, best first, and their gates.
template <class Number>
struct Routing {
  std::vector<std::vector<Index>> experts;  // [T][k]; -1: dropped
  Matrix<Number> gates;                     // [T, k]
};

// x[T, d], w_router[E, d] -> logits [T, E].
template <class Number>
Matrix<Number> router_logits(const Matrix<Number>& x, const Matrix<Number>& w_router) {
  Matrix<Number> logits(x.rows(), w_router.rows());
  for (Index t = 0; t < x.rows(); ++t) {
    for (Index e = 0; e < w_router.rows(); ++e) logits(t, e) = dot(x.row(t), w_router.row(e));
  }
  return logits;
}

template <class Number>
Vector<Number> softmax(Vector<Number> x) {
  using std::exp;
  const Number largest = x.maxCoeff();
  for (Index i = 0; i < x.size(); ++i) x(i) = exp(x(i) - largest);
  return x / x.sum();
}

template <class Number>
Number sigmoid(Number x) {
  using std::exp;
  return Number(1) / (Number(1) + exp(-x));
}

// Mixtral and gpt-oss (whose router has a bias, to be added to the logits): softmax over the k largest logits.
template <class Number>
Routing<Number> route_top_k(const Matrix<Number>& logits, Index k) {
  Routing<Number> routing{{}, Matrix<Number>(logits.rows(), k)};
  for (Index t = 0; t < logits.rows(); ++t) {
    const std::vector<Index> chosen = top_k(logits.row(t), k);
    routing.gates.row(t) = softmax<Number>(logits(t, chosen).transpose()).transpose();
    routing.experts.push_back(chosen);
  }
  return routing;
}

// Qwen3-MoE: softmax over all logits, the k largest, renormalised to sum to 1 if `normalise`.
template <class Number>
Routing<Number> route_softmax(const Matrix<Number>& logits, Index k, bool normalise) {
  Routing<Number> routing{{}, Matrix<Number>(logits.rows(), k)};
  for (Index t = 0; t < logits.rows(); ++t) {
    const Vector<Number> p = softmax<Number>(logits.row(t).transpose());
    const std::vector<Index> chosen = top_k(p, k);
    routing.gates.row(t) = p(chosen).transpose();
    if (normalise) routing.gates.row(t) /= routing.gates.row(t).sum();
    routing.experts.push_back(chosen);
  }
  return routing;
}

enum class DeepseekScore {
  softmax,  // V2: a group counts as its best expert; gates are the probabilities
  sigmoid,  // V3: a group counts as the sum of its best two biased scores; gates are normalised
};

struct DeepseekGate {
  DeepseekScore score = DeepseekScore::sigmoid;
  Index groups = 8, top_groups = 4, k = 8;
  double scale = 2.5;
};

// DeepSeek-V2/V3 (inference/model.py, Gate): only experts of the best groups compete. bias[E] (V3) moves the selection
// and not the gates.
template <class Number>
Routing<Number> route_deepseek(const Matrix<Number>& logits, const Vector<Number>& bias, const DeepseekGate& gate) {
  const Index experts = logits.cols(), size = experts / gate.groups;
  Routing<Number> routing{{}, Matrix<Number>(logits.rows(), gate.k)};
  for (Index t = 0; t < logits.rows(); ++t) {
    Vector<Number> score = logits.row(t).transpose();
    if (gate.score == DeepseekScore::softmax) {
      score = softmax(score);
    } else {
      for (Index e = 0; e < experts; ++e) score(e) = sigmoid(score(e));
    }
    const Vector<Number> biased = score + bias;
    Vector<Number> of_group(gate.groups);
    for (Index g = 0; g < gate.groups; ++g) {
      const Vector<Number> members = biased.segment(g * size, size);
      of_group(g) = members(top_k(members, gate.score == DeepseekScore::softmax ? 1 : 2)).sum();
    }
    Vector<Number> ranked = Vector<Number>::Constant(experts, static_cast<Number>(kMinusInfinity));
    for (const Index g : top_k(of_group, gate.top_groups)) {
      ranked.segment(g * size, size) = biased.segment(g * size, size);
    }
    const std::vector<Index> chosen = top_k(ranked, gate.k);
    routing.gates.row(t) = score(chosen).transpose();
    if (gate.score == DeepseekScore::sigmoid) routing.gates.row(t) /= routing.gates.row(t).sum();
    routing.gates.row(t) *= static_cast<Number>(gate.scale);
    routing.experts.push_back(chosen);
  }
  return routing;
}

enum class ExpertKind {
  swiglu,   // (silu(x W_gate) * (x W_up)) W_down
  gpt_oss,  // gate clamped to <= 7, up to [-7, 7]; (gate sigmoid(1.702 gate) * (up + 1)) W_down, biases
};

template <class Number>
struct Expert {
  Matrix<Number> w_gate, w_up;                                  // [F, d]
  Matrix<Number> w_down;                                        // [d, F]
  Vector<Number> bias_gate = {}, bias_up = {}, bias_down = {};  // gpt-oss only
  ExpertKind kind = ExpertKind::swiglu;
};

// x[n, d] -> [n, d].
template <class Number>
Matrix<Number> expert_output(const Matrix<Number>& x, const Expert<Number>& expert) {
  const bool gpt_oss = expert.kind == ExpertKind::gpt_oss;
  Matrix<Number> y(x.rows(), x.cols());
  Vector<Number> hidden(expert.w_gate.rows());
  for (Index t = 0; t < x.rows(); ++t) {
    for (Index f = 0; f < hidden.size(); ++f) {
      Number gate = dot(x.row(t), expert.w_gate.row(f)), up = dot(x.row(t), expert.w_up.row(f));
      if (gpt_oss) {
        gate = std::min(gate + expert.bias_gate(f), Number(7));
        up = std::clamp(up + expert.bias_up(f), Number(-7), Number(7)) + Number(1);
      }
      hidden(f) = gate * sigmoid(gpt_oss ? static_cast<Number>(1.702) * gate : gate) * up;
    }
    for (Index c = 0; c < y.cols(); ++c) y(t, c) = dot(hidden, expert.w_down.row(c));
    if (gpt_oss) y.row(t) += expert.bias_down.transpose();
  }
  return y;
}

// By definition: sum over all experts of gate times output, the gate zero where not chosen.
template <class Number>
Matrix<Number> moe_output(const Matrix<Number>& x, const Routing<Number>& routing,
                          const std::vector<Expert<Number>>& experts) {
  Matrix<Number> y = Matrix<Number>::Zero(x.rows(), x.cols());
  for (std::size_t e = 0; e < experts.size(); ++e) {
    Vector<Number> gate = Vector<Number>::Zero(x.rows());
    for (Index t = 0; t < x.rows(); ++t) {
      const std::vector<Index>& chosen = routing.experts[static_cast<std::size_t>(t)];
      for (std::size_t n = 0; n < chosen.size(); ++n) {
        if (chosen[n] == static_cast<Index>(e)) gate(t) += routing.gates(t, static_cast<Index>(n));
      }
    }
    y += gate.asDiagonal() * expert_output(x, experts[e]);
  }
  return y;
}

// Token and choice of every row that goes to each expert, in the order of the tokens.
struct ExpertRow {
  Index token, choice;
};
template <class Number>
std::vector<std::vector<ExpertRow>> rows_by_expert(const Routing<Number>& routing, std::size_t experts) {
  std::vector<std::vector<ExpertRow>> rows(experts);
  for (std::size_t t = 0; t < routing.experts.size(); ++t) {
    for (std::size_t n = 0; n < routing.experts[t].size(); ++n) {
      const Index e = routing.experts[t][n];
      if (e >= 0) rows[static_cast<std::size_t>(e)].push_back({static_cast<Index>(t), static_cast<Index>(n)});
    }
  }
  return rows;
}

// Dropless, as grouped GEMM: the tokens permuted so that those of one expert lie together, each expert on its own rows
// only, then back, weighted.
template <class Number>
Matrix<Number> moe_by_groups(const Matrix<Number>& x, const Routing<Number>& routing,
                             const std::vector<Expert<Number>>& experts) {
  const auto rows = rows_by_expert(routing, experts.size());
  Index total = 0;
  for (const auto& of_expert : rows) total += std::ssize(of_expert);
  Matrix<Number> permuted(total, x.cols());
  Index next = 0;
  for (const auto& of_expert : rows) {
    for (const ExpertRow& row : of_expert) permuted.row(next++) = x.row(row.token);
  }
  Matrix<Number> y = Matrix<Number>::Constant(x.rows(), x.cols(), Number(0));
  Index first = 0;
  for (std::size_t e = 0; e < experts.size(); ++e) {
    const Matrix<Number> group = permuted.middleRows(first, std::ssize(rows[e]));
    const Matrix<Number> output = expert_output(group, experts[e]);
    for (std::size_t n = 0; n < rows[e].size(); ++n) {
      const Number gate = routing.gates(rows[e][n].token, rows[e][n].choice);
      for (Index c = 0; c < y.cols(); ++c) y(rows[e][n].token, c) += gate * output(static_cast<Index>(n), c);
    }
    first += group.rows();
  }
  return y;
}

// Rows that an expert takes (GShard, Switch): ceil(factor T k / E).
inline Index expert_capacity(double factor, Index tokens, Index k, Index experts) {
  return static_cast<Index>(std::ceil(factor * static_cast<double>(tokens * k) / static_cast<double>(experts)));
}

// The routing with every row beyond the capacity of its expert dropped (-1): first choices of all tokens go before
// second ones, earlier tokens before later ones (GShard).
template <class Number>
Routing<Number> with_capacity(Routing<Number> routing, std::size_t experts, Index capacity) {
  std::vector<Index> load(experts);
  for (std::size_t choice = 0; choice < static_cast<std::size_t>(routing.gates.cols()); ++choice) {
    for (auto& chosen : routing.experts) {
      if (choice >= chosen.size() || chosen[choice] < 0) continue;
      if (++load[static_cast<std::size_t>(chosen[choice])] > capacity) chosen[choice] = -1;
    }
  }
  return routing;
}

// With a capacity, as GShard: a fixed buffer of `capacity` rows per expert, padded with zeros, all of it computed.
template <class Number>
Matrix<Number> moe_by_buffers(const Matrix<Number>& x, const Routing<Number>& routing,
                              const std::vector<Expert<Number>>& experts, Index capacity) {
  const auto rows = rows_by_expert(with_capacity(routing, experts.size(), capacity), experts.size());
  Matrix<Number> y = Matrix<Number>::Constant(x.rows(), x.cols(), Number(0));
  for (std::size_t e = 0; e < experts.size(); ++e) {
    Matrix<Number> buffer = Matrix<Number>::Constant(capacity, x.cols(), Number(0));
    for (std::size_t n = 0; n < rows[e].size(); ++n) buffer.row(static_cast<Index>(n)) = x.row(rows[e][n].token);
    const Matrix<Number> output = expert_output(buffer, experts[e]);
    for (std::size_t n = 0; n < rows[e].size(); ++n) {
      y.row(rows[e][n].token) += routing.gates(rows[e][n].token, rows[e][n].choice) * output.row(static_cast<Index>(n));
    }
  }
  return y;
}

}  // namespace lightcone::models::reference
