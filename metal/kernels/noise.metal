// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The noise of a dispatch's pairs, drawn once and read at every token: a byte a value, a thread for
// 16 of them.
#include "metal/kernels/threads.h"

using namespace hatchery;

HATCHERY_KERNEL DrawNoise(device const apple::NoiseUnit* units [[buffer(0)]],
                          device int8_t* noise [[buffer(1)]],
                          constant apple::NoiseArguments& args [[buffer(2)]], HATCHERY_THREAD) {
  const uint64_t index = uint64_t{group} * apple::kThreads + thread_index;
  if (index >= uint64_t{args.pairs} * args.units) return;
  const uint32_t pair = static_cast<uint32_t>(index / args.units);
  const apple::NoiseUnit unit = units[index % args.units];
  const core::Noise kind = args.gaussian != 0 ? core::Noise::kGaussian : core::Noise::kRademacher;
  const uint32_t in_block = core::ElementsPerBlock(kind);
  const core::Word4 block =
      core::NoiseBlock(args.seed, args.noise_step, args.first_pair + pair, unit.tensor,
                       static_cast<core::Factor>(unit.factor), unit.rank, unit.element / in_block);
  device int8_t* out = noise + index * 16;
  for (uint32_t e = 0; e < 16; ++e)
    out[e] = static_cast<int8_t>(
        e < unit.count ? core::NoiseValue(kind, block, (unit.element + e) % in_block) : 0);
}
