// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/metal/shim/fibers.h"

#include <setjmp.h>
#if !defined(__aarch64__)
#include <ucontext.h>
#endif

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace shim {
namespace {

constexpr size_t kStack = 128 << 10;

[[noreturn]] void Die(const char* why) {
  std::fprintf(stderr, "shim: undefined in Metal: %s\n", why);
  std::abort();
}

// A place where execution can go on. ucontext makes it, _setjmp switches: swapcontext would make a
// system call each time. On 64-bit Arm two instructions make it: macOS discourages ucontext.
struct Context {
#if !defined(__aarch64__)
  ucontext_t first;
#endif
  jmp_buf later;
  bool started = false;
  const void* stack = nullptr;  // its bottom, for AddressSanitizer
  size_t stack_size = 0;
  void* fake_stack = nullptr;
};

}  // namespace

class Fibers::Implementation {
 public:
  void Run(uint32_t threads, uint32_t seed, const std::function<void(uint32_t)>& body);

  void Barrier() {
    Now().at_barrier = true;
    YieldInSimdgroup();
  }
  void Meet(const char* what, void* mine, void (*together)(void* const*));

 private:
  struct Fiber {
    Context context;
    std::unique_ptr<char[]> stack;
    bool done = false, at_barrier = false;
  };
  struct Simdgroup {
    const char* what = nullptr;
    void* brought[kSimdWidth];
    uint32_t arrived = 0;
    uint32_t idle = 0;  // lanes woken in a row that found no meeting ended
    uint64_t meetings = 0;
  };

  static void Enter();
  Fiber& Now() { return fibers_[now_]; }
  uint32_t SimdgroupBegin() const { return now_ / kSimdWidth * kSimdWidth; }
  static bool CanRun(const Fiber& fiber) { return !fiber.done && !fiber.at_barrier; }
  void Switch(Context& from, Context& to, bool from_ends = false);
  // To another fiber of the simdgroup that can run, else back to Run.
  void YieldInSimdgroup(bool ends = false);

  std::vector<Fiber> fibers_;
  std::vector<Simdgroup> simdgroups_;
  uint32_t order_[kSimdWidth];  // of lanes: the one after each
  Context main_;
  uint32_t now_ = 0;
  const std::function<void(uint32_t)>* body_ = nullptr;
};

namespace {
Fibers::Implementation* running = nullptr;
}

void Fibers::Implementation::Switch(Context& from, Context& to, bool from_ends) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack, to.stack, to.stack_size);
#else
  (void)from_ends;
#endif
  if (_setjmp(from.later) == 0) {
    if (to.started) _longjmp(to.later, 1);
    to.started = true;
#if defined(__aarch64__)
    const char* top = static_cast<const char*>(to.stack) + to.stack_size;
    asm volatile("mov x29, xzr\n\tmov x30, xzr\n\tmov sp, %0\n\tbr %1" ::"r"(top), "r"(&Enter));
    __builtin_unreachable();
#else
    setcontext(&to.first);
#endif
  }
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void Fibers::Implementation::Enter() {
  Implementation& self = *running;
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  if (self.main_.stack == nullptr) {  // only the main stack enters the first fiber
    self.main_.stack = bottom;
    self.main_.stack_size = size;
  }
#endif
  (*self.body_)(self.now_);
  self.Now().done = true;
  self.YieldInSimdgroup(true);
  std::abort();  // nobody goes on with a fiber that is done
}

void Fibers::Implementation::YieldInSimdgroup(bool ends) {
  Context& from = Now().context;
  const uint32_t begin = SimdgroupBegin();
  for (uint32_t lane = order_[now_ - begin]; lane != now_ - begin; lane = order_[lane]) {
    if (begin + lane >= fibers_.size() || !CanRun(fibers_[begin + lane])) continue;
    now_ = begin + lane;
    Switch(from, Now().context, ends);
    return;
  }
  if (CanRun(Now())) return;  // alone; it will find that nobody comes
  Switch(from, main_, ends);
}

void Fibers::Implementation::Meet(const char* what, void* mine, void (*together)(void* const*)) {
  const uint32_t self = now_;
  Simdgroup& simdgroup = simdgroups_[self / kSimdWidth];
  if (simdgroup.arrived == 0) simdgroup.what = what;
  if (std::strcmp(simdgroup.what, what) != 0)
    Die("lanes of a simdgroup in different simdgroup functions");
  simdgroup.brought[self % kSimdWidth] = mine;
  simdgroup.idle = 0;
  if (++simdgroup.arrived == kSimdWidth) {
    together(simdgroup.brought);
    simdgroup.arrived = 0;
    ++simdgroup.meetings;
    return;
  }
  for (const uint64_t meeting = simdgroup.meetings; simdgroup.meetings == meeting;) {
    if (++simdgroup.idle > 2 * kSimdWidth)
      Die("a simdgroup function that not all lanes of the simdgroup reach");
    YieldInSimdgroup();
  }
  simdgroup.idle = 0;
}

void Fibers::Implementation::Run(uint32_t threads, uint32_t seed,
                                 const std::function<void(uint32_t)>& body) {
  running = this;
  body_ = &body;
  fibers_.resize(threads);
  simdgroups_.assign((threads + kSimdWidth - 1) / kSimdWidth, {});
  for (Fiber& fiber : fibers_) {
    if (!fiber.stack) fiber.stack = std::make_unique_for_overwrite<char[]>(kStack);
    fiber.done = fiber.at_barrier = fiber.context.started = false;
    fiber.context.stack = fiber.stack.get();
    fiber.context.stack_size = kStack;
#if !defined(__aarch64__)
    getcontext(&fiber.context.first);
    fiber.context.first.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.first.uc_stack.ss_size = kStack;
    fiber.context.first.uc_link = nullptr;
    makecontext(&fiber.context.first, &Enter, 0);
#endif
  }
  main_.started = true;
  std::mt19937 random(seed);
  uint32_t lanes[kSimdWidth];
  std::iota(lanes, lanes + kSimdWidth, 0);
  if (seed != 0) std::shuffle(lanes, lanes + kSimdWidth, random);
  for (uint32_t i = 0; i < kSimdWidth; ++i) order_[lanes[i]] = lanes[(i + 1) % kSimdWidth];
  std::vector<uint32_t> groups(simdgroups_.size());
  std::iota(groups.begin(), groups.end(), 0);
  for (;;) {
    if (seed != 0) std::shuffle(groups.begin(), groups.end(), random);
    for (const uint32_t group : groups) {
      for (const uint32_t lane : lanes) {
        now_ = group * kSimdWidth + lane;
        if (now_ >= threads || !CanRun(Now())) continue;
        Switch(main_, Now().context);
      }
    }
    const auto waiting = static_cast<uint32_t>(
        std::count_if(fibers_.begin(), fibers_.end(), [](const Fiber& f) { return f.at_barrier; }));
    if (waiting == 0) break;
    if (waiting != threads) Die("a barrier that not all threads of the threadgroup reach");
    for (Fiber& fiber : fibers_) fiber.at_barrier = false;
  }
  running = nullptr;
}

Fibers::Fibers() : implementation_(std::make_unique<Implementation>()) {}
Fibers::~Fibers() = default;

void Fibers::Run(uint32_t threads, uint32_t seed, const std::function<void(uint32_t)>& body) {
  implementation_->Run(threads, seed, body);
}

void ThreadgroupBarrier() { running->Barrier(); }

void Together(const char* what, void* mine, void (*together)(void* const brought[kSimdWidth])) {
  running->Meet(what, mine, together);
}

}  // namespace shim
