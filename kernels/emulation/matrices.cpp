// ldmatrix and mma.sync by the lane maps of the PTX manual, and the 16-bit types' conversions.
#include <bit>

#include "kernels/emulation/shadow.h"

namespace adatape::kernels::emulation {
namespace {

/// These instructions are for whole warps only.
void need_whole_warp(Block& block, const Warp& warp, uint32_t present) {
  if (present == 0xffffffffu) return;
  const Thread& t = *warp.lanes[std::countr_zero(present)];
  block.diverge(std::string(t.collective.operation) + " of thread " + std::to_string(t.number) +
                    " in a warp of which some lanes are missing",
                t);
}

struct MatrixRow {
  const unsigned char* address;
  bool transposed;
};

void complete_load(Block& block, Warp& warp, uint32_t present) {
  need_whole_warp(block, warp, present);
  uint16_t matrix[4][8][8];
  for (int lane = 0; lane < 32; ++lane) {
    Thread& t = *warp.lanes[lane];
    MatrixRow row;
    std::memcpy(&row, t.collective.in, sizeof row);
    block.shadow().access(block, t, row.address, 16, Access::kRead, true, t.collective.code);
    std::memcpy(matrix[lane / 8][lane % 8], row.address, 16);
  }
  for (int lane = 0; lane < 32; ++lane) {
    Thread& t = *warp.lanes[lane];
    MatrixRow row;
    std::memcpy(&row, t.collective.in, sizeof row);
    for (int m = 0; m < 4; ++m) {
      for (int pair = 0; pair < 2; ++pair) {
        const int along = lane % 4 * 2 + pair, across = lane / 4;
        const uint16_t value = row.transposed ? matrix[m][along][across] : matrix[m][across][along];
        std::memcpy(t.collective.out + 4 * m + 2 * pair, &value, 2);
      }
    }
  }
}

struct Fragments {
  float d[4];
  uint32_t a[4], b[2];
  float (*widen)(uint16_t);
};

void complete_multiply(Block& block, Warp& warp, uint32_t present) {
  need_whole_warp(block, warp, present);
  float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    Fragments f;
    std::memcpy(&f, warp.lanes[lane]->collective.in, sizeof f);
    const int g = lane / 4, t = lane % 4 * 2;
    for (int pair = 0; pair < 2; ++pair) {
      const auto half = [&](uint32_t word) { return f.widen(uint16_t(word >> (16 * pair))); };
      a[g][t + pair] = half(f.a[0]);
      a[g + 8][t + pair] = half(f.a[1]);
      a[g][t + 8 + pair] = half(f.a[2]);
      a[g + 8][t + 8 + pair] = half(f.a[3]);
      b[t + pair][g] = half(f.b[0]);
      b[t + 8 + pair][g] = half(f.b[1]);
      d[g][t + pair] = f.d[pair];
      d[g + 8][t + pair] = f.d[2 + pair];
    }
  }
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 8; ++j) d[i][j] += a[i][k] * b[k][j];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4 * 2;
    const float out[4] = {d[g][t], d[g][t + 1], d[g + 8][t], d[g + 8][t + 1]};
    std::memcpy(warp.lanes[lane]->collective.out, out, sizeof out);
  }
}

}  // namespace

void load_matrices(uint32_t (&r)[4], const void* row, bool transposed, const Site& site) {
  const OutOfKernel out;
  Block& block = *running_block;
  Thread& t = block.current();
  if (!block.shadow().is_shared(row)) {
    block.diverge("ldmatrix of thread " + std::to_string(t.number) +
                      " from an address outside of shared memory",
                  t);
  }
  const MatrixRow in{static_cast<const unsigned char*>(row), transposed};
  std::memcpy(t.collective.in, &in, sizeof in);
  block.join(0xffffffffu, "ldmatrix", site, __builtin_return_address(0), complete_load);
  std::memcpy(r, t.collective.out, sizeof r);
}

void multiply_matrices(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                       float (*widen)(uint16_t), const Site& site) {
  const OutOfKernel out;
  Block& block = *running_block;
  Thread& t = block.current();
  Fragments in;
  static_assert(sizeof in <= sizeof t.collective.in);
  std::memcpy(in.d, d, sizeof d);
  std::memcpy(in.a, a, sizeof a);
  std::memcpy(in.b, b, sizeof b);
  in.widen = widen;
  std::memcpy(t.collective.in, &in, sizeof in);
  block.join(0xffffffffu, "mma", site, __builtin_return_address(0), complete_multiply);
  std::memcpy(d, t.collective.out, sizeof d);
}

}  // namespace adatape::kernels::emulation

namespace adatape::kernels {

float bfloat16_value(uint16_t bits) { return std::bit_cast<float>(uint32_t(bits) << 16); }

float float16_value(uint16_t bits) {
  const uint32_t sign = uint32_t(bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u) {
    return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  }
  // Scaling by 2^112 moves the exponent's bias and makes subnormals right.
  return std::bit_cast<float>(
      sign | std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112f));
}

uint16_t bfloat16_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return nan ? 0x7fc0u : uint16_t((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

uint16_t float16_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // rounds to 2^16 or beyond
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // subnormal: the addition rounds at 2^-24
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  }
  return uint16_t(sign | half);
}

}  // namespace adatape::kernels
