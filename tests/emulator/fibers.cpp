/* Fibers: one for each thread of a block, with a stack of its own. A fiber that waits goes over to
 * the next one by itself; the scheduler runs again when none can go on. */
#include "emulator/emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#ifdef CZ_SANITIZED /* by address */
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

thread_local emu_worker *emu_worker_now EMU_NEAR;
static thread_local const emu_indices *now EMU_NEAR; /* of the fiber that runs */

uint3 emu_thread_index(void) { return now->thread; }
uint3 emu_block_index(void) { return now->block; }
dim3 emu_block_dim(void) { return now->threads; }
dim3 emu_grid_dim(void) { return now->blocks; }

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

/* Stacks begin at different distances from a page's end: threads that do the same thing would
 * otherwise fight for the same few lines of the cache. */
static void *fresh_stack(unsigned char *stack, int number, void (*entry)(void)) {
  void **top = reinterpret_cast<void **>(stack + EMU_STACK - number % 8 * 512);
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

static void enter(emu_worker *w, emu_fiber *to, void **from, void **fake) {
  w->running = to;
  now = &to->indices;
  before_switch(fake, to->stack, EMU_STACK);
  emu_switch(from, to->sp);
}

static void to_scheduler(emu_worker *w, emu_fiber *f, void **fake) {
  before_switch(fake, w->host_stack, w->host_stack_bytes);
  emu_switch(&f->sp, w->sp);
}

/* ---- whose turn it is ---- */

/* Ascending and descending: who can go on and comes next to the last one. Random: any of those who
 * can go on, so that one thread may be far ahead of all others. -1: nobody. */
static int next_turn(emu_worker *w) {
  const size_t n = (size_t)w->threads, at = (size_t)w->turn;
  const void *next;
  if (w->order == EMU_RANDOM) {
    if (w->n == 0) return -1;
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    const int which = (int)((w->random >> 33) * (uint64_t)w->n >> 31);
    w->turn = w->ready[which];
    w->ready[which] = w->ready[--w->n];
    return w->turn;
  }
  if (w->order == EMU_ASCENDING) {
    const size_t after = (size_t)(w->turn + 1); /* a turn of -1 was nobody's */
    next = after < n ? memchr(w->state + after, EMU_READY, n - after) : nullptr;
    if (!next) next = memchr(w->state, EMU_READY, after < n ? after : n);
  } else {
    next = at > 0 ? memrchr(w->state, EMU_READY, at < n ? at : n) : nullptr;
    if (!next && at < n) next = memrchr(w->state + at, EMU_READY, n - at);
  }
  if (!next) return -1;
  return w->turn = (int)(static_cast<const emu_state *>(next) - w->state);
}

void emu_make_ready(emu_worker *w, int number) {
  w->state[number] = EMU_READY;
  if (w->order == EMU_RANDOM) w->ready[w->n++] = number;
}

void emu_wait(emu_state state, const char *what, emu_place at) {
  emu_worker *w = emu_worker_now;
  emu_fiber *f = w->running;
  f->what = what, f->at = at;
  if (state == EMU_READY)
    emu_make_ready(w, f->number);
  else
    w->state[f->number] = state;
  const int next = next_turn(w);
  if (next == f->number) return;
  if (next < 0)
    to_scheduler(w, f, &f->fake_stack);
  else
    enter(w, &w->fibers[(size_t)next], &f->sp, &f->fake_stack);
  after_switch(f->fake_stack, nullptr, nullptr);
}

void emu_abandon(void) {
  emu_worker *w = emu_worker_now;
  to_scheduler(w, w->running, nullptr);
  abort(); /* nobody resumes it */
}

/* ---- beginning and end ---- */

static void fiber_main(void) {
  emu_worker *w = emu_worker_now;
  /* bounds of the host's stack are told by a switch from it, not by one from another fiber */
  after_switch(nullptr, w->from_host ? &w->host_stack : nullptr,
               w->from_host ? &w->host_stack_bytes : nullptr);
  w->from_host = false;
  w->body(w->argument);
  emu_fiber *f = w->running;
  emu_copy_end(f);
  emu_wgmma_end(f);
  w->state[f->number] = EMU_LEFT;
  emu_leave(w);
  const int next = next_turn(w);
  if (next < 0) emu_abandon();
  enter(w, &w->fibers[(size_t)next], &f->sp, nullptr);
  abort(); /* nobody resumes it */
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

void emu_begin_fiber(emu_worker *w, int number, uint3 block, dim3 blocks, dim3 threads) {
  emu_fiber *f = &w->fibers[(size_t)number];
  const unsigned n = (unsigned)number;
  if (!f->stack) f->stack = new_stack();
#ifdef CZ_SANITIZED
  ASAN_UNPOISON_MEMORY_REGION(f->stack, EMU_STACK); /* of a fiber that an error ended */
#endif
  f->number = number, f->warp = number / EMU_WARP, f->lane = number % EMU_WARP;
  f->indices.thread = uint3{n % threads.x, n / threads.x % threads.y, n / threads.x / threads.y};
  f->indices.block = block, f->indices.threads = threads, f->indices.blocks = blocks;
  f->sp = fresh_stack(f->stack, number, fiber_main);
  f->fake_stack = nullptr;
  f->copies.clear(), f->groups.clear();
  f->landed = f->waited = 0;
  f->products.clear(), f->product_groups = 0;
  emu_make_ready(w, number);
}

void emu_run_fibers(emu_worker *w) {
  void *fake = nullptr;
  w->turn = w->order == EMU_ASCENDING ? -1 : w->threads;
  const int first = next_turn(w);
  w->from_host = true;
  enter(w, &w->fibers[(size_t)first], &w->sp, &fake);
  after_switch(fake, nullptr, nullptr);
  w->running = nullptr;
}
