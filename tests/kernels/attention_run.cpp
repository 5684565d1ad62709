#include "tests/kernels/attention_run.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/table.h"
#include "kernels/device.h"
#include "kernels/ragged_attention.h"

namespace adatape::kernels {
namespace {

/// Bytes of values in the case's type and layout, and back.
class Packed {
 public:
  Packed(const AttentionCase& c, int rows)
      : c(c), rows(rows), bytes(c.dtype == DType::kFloat32 ? 4 : 2) {
    const int64_t H = c.heads, C = c.width;
    row_stride = c.layout == Layout::kDense        ? H * C
                 : c.layout == Layout::kHeadsFirst ? C
                                                   : 3 * H * C;
    head_stride = c.layout == Layout::kHeadsFirst ? rows * C : C;
  }
  size_t size() const {
    return size_t(rows) * c.heads * c.width * bytes * (c.layout == Layout::kInterleaved ? 3 : 1);
  }
  PackedHeads heads(void* data) const { return {data, row_stride, head_stride}; }

  std::vector<uint8_t> pack(const std::vector<double>& values) const {
    std::vector<uint8_t> data(size(), 0xff);  // NaN where there is no value
    for_each([&](size_t from, size_t to) {
      const float x = float(values[from]);
      const uint16_t half = c.dtype == DType::kBFloat16 ? bfloat16_bits(x) : float16_bits(x);
      std::memcpy(&data[to * bytes], bytes == 4 ? static_cast<const void*>(&x) : &half, bytes);
    });
    return data;
  }
  std::vector<double> unpack(const void* memory) const {
    const auto* data = static_cast<const uint8_t*>(memory);
    std::vector<double> values(size_t(rows) * c.heads * c.width);
    for_each([&](size_t to, size_t from) {
      float x;
      uint16_t half;
      std::memcpy(&x, data + from * bytes, bytes == 4 ? 4 : 0);
      std::memcpy(&half, data + from * bytes, 2);
      if (bytes == 2) x = c.dtype == DType::kBFloat16 ? bfloat16_value(half) : float16_value(half);
      values[to] = x;
    });
    return values;
  }

 private:
  template <class F>
  void for_each(F f) const {
    for (int row = 0; row < rows; ++row) {
      for (int h = 0; h < c.heads; ++h) {
        for (int i = 0; i < c.width; ++i) {
          f((size_t(row) * c.heads + h) * c.width + i, row * row_stride + h * head_stride + i);
        }
      }
    }
  }
  const AttentionCase& c;
  const int rows;
  const size_t bytes;
  int64_t row_stride, head_stride;
};

/// The kernels' parameters with memory from `place(name, bytes)` and `room(name, size)`.
template <class Place, class Room>
RaggedAttentionBackward parameters(const AttentionProblem& p, Place place, Room room) {
  const AttentionCase& c = p.config;
  const Packed q(c, p.queries.total), k(c, p.keys.total);
  const auto offsets = [&](const char* name, const std::vector<int32_t>& values) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
    return static_cast<const int32_t*>(
        place(name, std::vector<uint8_t>(bytes, bytes + 4 * values.size())));
  };
  RaggedAttentionBackward b{};
  RaggedAttention& f = b.forward;
  f.dtype = c.dtype;
  f.query = q.heads(place("query", q.pack(p.query)));
  f.key = k.heads(place("key", k.pack(p.key)));
  f.value = k.heads(place("value", k.pack(p.value)));
  f.queries = {offsets("cu_q", p.queries.cu),
               c.query_tails ? offsets("tail_q", p.queries.tail) : nullptr};
  f.keys = {offsets("cu_k", p.keys.cu), c.key_tails ? offsets("tail_k", p.keys.tail) : nullptr};
  f.batch = int64_t(c.queries.size());
  f.heads = c.heads;
  f.width = c.width;
  f.query_rows = p.queries.total;
  f.key_rows = p.keys.total;
  f.scale = p.scale();
  f.causal = c.causal;
  f.out = q.heads(room("out", q.size()));
  f.lse = room("lse", size_t(c.heads) * p.queries.total * 4);
  b.grad_out = q.heads(place("grad_out", q.pack(p.grad_out)));
  b.grad_query = q.heads(room("grad_query", q.size()));
  b.grad_key = k.heads(room("grad_key", k.size()));
  b.grad_value = k.heads(room("grad_value", k.size()));
  return b;
}

AttentionResults results_of(const AttentionProblem& p, const RaggedAttentionBackward& b) {
  const Packed q(p.config, p.queries.total), k(p.config, p.keys.total);
  const auto* lse = static_cast<const float*>(b.forward.lse);
  return {q.unpack(b.forward.out.data),
          {lse, lse + p.config.heads * p.queries.total},
          q.unpack(b.grad_query.data),
          k.unpack(b.grad_key.data),
          k.unpack(b.grad_value.data)};
}

int longest_of(const Segments& segments) {
  size_t longest = 0;
  for (const auto& rows : segments.rows) longest = std::max(longest, rows.size());
  return int(longest);
}

/// Sets rows of no sequence to 0; says if one of them is not `untouched`.
std::string clear_gaps(const AttentionProblem& p, double untouched, AttentionResults& r) {
  std::string text;
  const auto clear = [&](const Segments& segments, std::vector<double>& values) {
    std::vector<bool> used(segments.total);
    for (const auto& rows : segments.rows) {
      for (int row : rows) used[row] = true;
    }
    const size_t stride = size_t(p.config.heads) * p.config.width;
    for (size_t i = 0; i < values.size(); ++i) {
      if (used[i / stride]) continue;
      if (values[i] != untouched) text = "a row of no sequence was written\n";
      values[i] = 0;
    }
  };
  clear(p.queries, r.out);
  clear(p.queries, r.grad_query);
  clear(p.keys, r.grad_key);
  clear(p.keys, r.grad_value);
  return text;
}

/// lse of rows of no sequence: 0, as in the references.
void clear_lse(const AttentionProblem& p, AttentionResults& r) {
  std::vector<double> lse(r.lse.size());
  for (int h = 0; h < p.config.heads; ++h) {
    for (const auto& rows : p.queries.rows) {
      for (int row : rows)
        lse[size_t(h) * p.queries.total + row] = r.lse[size_t(h) * p.queries.total + row];
    }
  }
  r.lse = lse;
}

}  // namespace

EmulatedAttention emulate(const AttentionProblem& p, const emulation::Settings& settings,
                          int longest) {
  using emulation::Contents;
  emulation::Machine machine(settings);
  const auto room = [&](const char* name, size_t bytes) {
    return machine.allocate(name, bytes, Contents::kOutput);
  };
  const auto place = [&](const char* name, const std::vector<uint8_t>& data) {
    return static_cast<void*>(machine.input(name, data));
  };
  const RaggedAttentionBackward b = parameters(p, place, room);
  const int max_q = longest ? longest : longest_of(p.queries);
  const int max_k = longest ? longest : longest_of(p.keys);
  cuda::ragged_attention(b.forward, max_q, max_k, nullptr);
  void* workspace = room("workspace", cuda::ragged_attention_workspace(b.forward));
  cuda::ragged_attention_backward(b, max_q, max_k, workspace, nullptr);
  EmulatedAttention run{results_of(p, b), machine.text()};
  const double poison = p.config.dtype == DType::kFloat32    ? __uint_as_float(0xa5a5a5a5u)
                        : p.config.dtype == DType::kBFloat16 ? bfloat16_value(0xa5a5)
                                                             : float16_value(0xa5a5);
  run.findings += clear_gaps(p, poison, run.results);
  clear_lse(p, run.results);
  return run;
}

AttentionResults attention_on_cpu(const AttentionProblem& p) {
  std::vector<std::vector<uint8_t>> memory;
  const auto place = [&](const char*, const std::vector<uint8_t>& data) {
    memory.push_back(data);
    return static_cast<void*>(memory.back().data());
  };
  const auto room = [&](const char* name, size_t bytes) {
    return place(name, std::vector<uint8_t>(bytes));
  };
  const RaggedAttentionBackward b = parameters(p, place, room);
  const int64_t items = b.forward.batch * b.forward.heads;
  if (items > 0) {
    cpu_kernels()->ragged_attention(b.forward, 0, items);
    cpu_kernels()->ragged_attention_backward(b, 0, items);
  }
  AttentionResults results = results_of(p, b);
  clear_gaps(p, 0, results);
  clear_lse(p, results);
  return results;
}

}  // namespace adatape::kernels
