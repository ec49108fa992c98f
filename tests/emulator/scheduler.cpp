/* Fibers, blocks and launches. */
#include "emulator/emulator.h"
#include "emulator/access.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <omp.h>
#include <random>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#ifdef CZ_SANITIZED /* by address */
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

thread_local emu_worker *emu_worker_now;
static thread_local const emu_indices *now; /* of the fiber that runs */

uint3 emu_thread_index(void) { return now->thread; }
uint3 emu_block_index(void) { return now->block; }
dim3 emu_block_dim(void) { return now->threads; }
dim3 emu_grid_dim(void) { return now->blocks; }

static struct {
  std::mutex lock;
  std::string error, taken;
  emu_order order = EMU_ASCENDING;
  uint64_t seed = 1;
  bool asked; /* the environment was */
} all;

/* ---- switching ---- */

#ifdef __x86_64__
/* Keeps what the calling convention calls preserved on the stack, changes stacks, and returns to
 * where the other one was left. */
extern "C" void emu_switch(void **from, void *to);
asm(R"(
.text
.globl emu_switch
.hidden emu_switch
.type emu_switch,@function
emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emu_switch,.-emu_switch
)");

enum { SAVED_REGISTERS = 6 };

static void *fresh_stack(unsigned char *stack, void (*entry)(void)) {
  void **top = reinterpret_cast<void **>(stack + EMU_STACK);
  *--top = nullptr; /* what would be the caller's return address: keeps calls aligned */
  *--top = reinterpret_cast<void *>(entry);
  for (int i = 0; i < SAVED_REGISTERS; i++) *--top = nullptr;
  return top;
}
#else
#error "the emulator changes stacks by itself: write emu_switch for this processor"
#endif

/* The address sanitizer has to know which stack is in use. */
static void before_switch(void **fake, const void *bottom, size_t bytes) {
#ifdef CZ_SANITIZED
  __sanitizer_start_switch_fiber(fake, bottom, bytes);
#endif
}

static void after_switch(void *fake, const void **bottom, size_t *bytes) {
#ifdef CZ_SANITIZED
  __sanitizer_finish_switch_fiber(fake, bottom, bytes);
#endif
}

static void to_scheduler(bool for_ever) {
  emu_worker *w = emu_worker_now;
  emu_fiber *f = w->running;
  before_switch(for_ever ? nullptr : &f->fake_stack, w->host_stack, w->host_stack_bytes);
  emu_switch(&f->sp, w->sp);
  after_switch(f->fake_stack, nullptr, nullptr);
}

static void resume(emu_worker *w, emu_fiber *f) {
  void *fake = nullptr;
  w->running = f;
  now = &f->indices;
  before_switch(&fake, f->stack, EMU_STACK);
  emu_switch(&w->sp, f->sp);
  after_switch(fake, nullptr, nullptr);
  w->running = nullptr;
}

/* ---- what is said ---- */

std::string emu_format_text(const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return text;
}

std::string emu_place_text(emu_place at) {
  const char *name = at.file ? strrchr(at.file, '/') : nullptr;
  if (!at.file) return "an unknown place";
  return emu_format_text("%s:%d", name ? name + 1 : at.file, at.line);
}

std::string emu_thread_text(const emu_fiber *f) {
  const uint3 b = f->indices.block, t = f->indices.thread;
  return emu_format_text("block (%u,%u,%u) thread (%u,%u,%u)", b.x, b.y, b.z, t.x, t.y, t.z);
}

/* Keeps the first error of all. */
void emu_set_error(const std::string &text) {
  std::lock_guard<std::mutex> hold(all.lock);
  if (all.error.empty()) all.error = text;
}

bool emu_failed(void) {
  std::lock_guard<std::mutex> hold(all.lock);
  return !all.error.empty();
}

const char *emu_error_text(void) {
  std::lock_guard<std::mutex> hold(all.lock);
  return all.error.c_str();
}

extern "C" const char *emu_take_error(void) {
  std::lock_guard<std::mutex> hold(all.lock);
  if (all.error.empty()) return nullptr;
  all.taken.swap(all.error);
  all.error.clear();
  return all.taken.c_str();
}

void emu_fail(emu_place at, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  emu_worker *w = emu_worker_now;
  w->error = emu_thread_text(w->running) + ", " +
             (at.file ? emu_place_text(at) + ": " + text : std::string(text));
  to_scheduler(true);
  abort(); /* nobody resumes it */
}

/* ---- fibers ---- */

static void leave(emu_worker *w, emu_fiber *f) {
  f->state = EMU_LEFT;
  for (int i = 0; i < w->threads; i++) {
    const emu_fiber *other = &w->fibers[(size_t)i];
    if (other->state == EMU_AT_BARRIER)
      emu_fail(other->at, "%s waits here for all threads of its block, but this one has left",
               emu_thread_text(other).c_str());
  }
  for (const emu_meeting &m : w->warps[f->warp].meetings)
    if (m.mask >> f->lane & 1)
      emu_fail(m.at, "lanes %#x wait here (%s) for this one, which has left", m.here, m.what);
}

static void fiber_main(void) {
  emu_worker *w = emu_worker_now;
  after_switch(nullptr, &w->host_stack, &w->host_stack_bytes);
  w->body(w->argument);
  leave(w, w->running);
  to_scheduler(true);
}

void emu_wait(emu_state state, const char *what, emu_place at) {
  emu_fiber *f = emu_worker_now->running;
  f->state = state, f->what = what, f->at = at;
  to_scheduler(false);
}

void emu_barrier(emu_place at) {
  emu_worker *w = emu_worker_now;
  int waiting = 1;
  for (int i = 0; i < w->threads; i++) {
    const emu_fiber *f = &w->fibers[(size_t)i];
    if (f->state == EMU_LEFT)
      emu_fail(at, "__syncthreads, but %s has left", emu_thread_text(f).c_str());
    if (f->state != EMU_AT_BARRIER) continue;
    waiting++;
    if (f->at.line != at.line || strcmp(f->at.file, at.file))
      emu_fail(at, "__syncthreads, but %s waits at another one, %s", emu_thread_text(f).c_str(),
               emu_place_text(f->at).c_str());
  }
  emu_count_event(EMU_COUNT_BARRIER);
  if (waiting < w->threads) return emu_wait(EMU_AT_BARRIER, "__syncthreads", at);
  emu_order_block();
  for (int i = 0; i < w->threads; i++) w->fibers[(size_t)i].state = EMU_READY;
  emu_wait(EMU_READY, "", at); /* others may come first */
}

static unsigned char *new_stack(void) {
  void *p = mmap(nullptr, EMU_PAGE + EMU_STACK, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED || mprotect(p, EMU_PAGE, PROT_NONE)) {
    perror("emulator: stack of a fiber");
    abort();
  }
  return static_cast<unsigned char *>(p) + EMU_PAGE;
}

static void begin_fiber(emu_worker *w, int number, uint3 block, dim3 blocks, dim3 threads) {
  emu_fiber *f = &w->fibers[(size_t)number];
  const unsigned n = (unsigned)number;
  if (!f->stack) f->stack = new_stack();
#ifdef CZ_SANITIZED
  ASAN_UNPOISON_MEMORY_REGION(f->stack, EMU_STACK); /* of a fiber that an error ended */
#endif
  f->number = number, f->warp = number / EMU_WARP, f->lane = number % EMU_WARP;
  f->indices.thread = uint3{n % threads.x, n / threads.x % threads.y, n / threads.x / threads.y};
  f->indices.block = block, f->indices.threads = threads, f->indices.blocks = blocks;
  f->sp = fresh_stack(f->stack, fiber_main);
  f->state = EMU_READY, f->fake_stack = nullptr;
  f->groups.assign(1, {});
}

/* ---- blocks ---- */

static void turns(std::vector<int> *order, std::mt19937_64 *random) {
  const int n = (int)order->size();
  for (int i = 0; i < n; i++) (*order)[(size_t)i] = all.order == EMU_DESCENDING ? n - 1 - i : i;
  if (all.order == EMU_RANDOM) std::shuffle(order->begin(), order->end(), *random);
}

/* Every distinct place where threads wait. */
static std::string deadlock(const emu_worker *w) {
  std::string text = "no thread can go on:";
  for (int i = 0; i < w->threads; i++) {
    const emu_fiber *f = &w->fibers[(size_t)i];
    bool said = f->state == EMU_LEFT;
    for (int j = 0; j < i; j++) {
      const emu_fiber *g = &w->fibers[(size_t)j];
      said |= g->state != EMU_LEFT && g->at.line == f->at.line && !strcmp(g->at.file, f->at.file);
    }
    if (!said)
      text += emu_format_text(" %s waits at %s (%s);", emu_thread_text(f).c_str(),
                              emu_place_text(f->at).c_str(), f->what);
  }
  return text;
}

static void run_fibers(emu_worker *w, std::mt19937_64 *random) {
  std::vector<int> order((size_t)w->threads);
  int left = 0;
  for (bool progress = true; progress && left < w->threads;) {
    progress = false;
    turns(&order, random);
    for (int i : order) {
      emu_fiber *f = &w->fibers[(size_t)i];
      if (f->state != EMU_READY) continue;
      resume(w, f);
      if (!w->error.empty()) return;
      progress = true;
      left += f->state == EMU_LEFT;
    }
  }
  if (left < w->threads) w->error = deadlock(w);
}

static void begin_shared(emu_worker *w, size_t dynamic_bytes) {
  w->arrays.clear();
  w->shared_end = w->shared_bytes = 0;
  emu_shared_array(w, nullptr, "the dynamic array", dynamic_bytes, 128);
}

/* A block runs with the array guards of its shared memory in place; an error names the block. */
static void run_block(emu_worker *w, uint3 block, dim3 blocks, dim3 threads, size_t shared_bytes,
                      std::mt19937_64 *random) {
  w->threads = (int)(threads.x * threads.y * threads.z);
  if (w->fibers.size() < (size_t)w->threads) w->fibers.resize((size_t)w->threads);
  for (emu_warp &warp : w->warps) warp.meetings.clear();
  w->error.clear();
  begin_shared(w, shared_bytes);
  emu_begin_block(w, block, blocks);
  for (int i = 0; i < w->threads; i++) begin_fiber(w, i, block, blocks, threads);
  run_fibers(w, random);
  if (w->error.empty()) w->error = emu_shared_damage(w);
  emu_end_block(w);
}

/* ---- launches ---- */

static void ask_environment(void) {
  const char *text = getenv("CZ_EMULATOR_ORDER");
  if (all.asked) return;
  all.asked = true;
  if (!text || !*text) return;
  const char *seed = strchr(text, ':');
  emu_set_order((emu_order)(text[0] - '0'), seed ? strtoull(seed + 1, nullptr, 10) : 1);
}

extern "C" void emu_set_order(emu_order order, uint64_t seed) {
  all.asked = true;
  if (order < EMU_ASCENDING || order >= EMU_ORDERS) {
    fprintf(stderr, "emulator: there is no order %d of threads: 0, 1, 2 or 2:SEED\n", (int)order);
    abort();
  }
  all.order = order, all.seed = seed;
}

static const char *refusal(dim3 grid, dim3 block, size_t shared_bytes) {
  const uint64_t threads = (uint64_t)block.x * block.y * block.z;
  if (threads == 0 || threads > EMU_THREADS || block.z > 64) return "block";
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) return "grid";
  return shared_bytes > EMU_SHARED_BYTES ? "dynamic shared memory" : nullptr;
}

static emu_worker *worker(void) {
  static thread_local emu_worker own;
  return &own;
}

struct launch {
  const char *name;
  dim3 grid, block;
  size_t shared_bytes;
  void (*body)(void *);
  void *argument;
  std::atomic<uint64_t> next;
  uint64_t blocks;
};

static void work(launch *l) {
  emu_worker *w = emu_worker_now = worker();
  std::mt19937_64 random(all.seed + (uint64_t)omp_get_thread_num());
  w->body = l->body, w->argument = l->argument;
  for (uint64_t k; !emu_failed() && (k = l->next++) < l->blocks;) {
    const uint64_t i = all.order == EMU_DESCENDING ? l->blocks - 1 - k : k;
    const uint3 block = {(unsigned)(i % l->grid.x), (unsigned)(i / l->grid.x % l->grid.y),
                         (unsigned)(i / l->grid.x / l->grid.y)};
    run_block(w, block, l->grid, l->block, l->shared_bytes, &random);
    if (!w->error.empty())
      emu_set_error(emu_format_text("kernel %s: %s", l->name, w->error.c_str()));
  }
}

int emu_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, void (*body)(void *),
               void *argument, size_t argument_bytes) {
  ask_environment();
  if (emu_failed()) return cudaErrorLaunchFailure;
  if (refusal(grid, block, shared_bytes)) return cudaErrorInvalidConfiguration;
  launch l = {name, grid, block, shared_bytes, body, argument, {0}, 0};
  l.blocks = (uint64_t)grid.x * grid.y * grid.z;
  const bool one = emu_begin_launch(name, grid, block, shared_bytes, argument, argument_bytes) ||
                   l.blocks * block.x * block.y * block.z < 4096;
#pragma omp parallel if (!one)
  work(&l);
  emu_end_launch();
  emu_check_guards();
  return emu_failed() ? cudaErrorLaunchFailure : cudaSuccess;
}
