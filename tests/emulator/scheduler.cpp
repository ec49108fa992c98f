/* Blocks, barriers and launches. */
#include "emulator/access.h"
#include "emulator/emulator.h"

#include <atomic>
#include <mutex>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
  std::mutex lock;
  std::string error, taken;
  emu_order order = EMU_ASCENDING;
  uint64_t seed = 1;
  bool set; /* by emu_set_order */
} all;

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

bool emu_same_place(emu_place a, emu_place b) {
  return a.line == b.line && (a.file == b.file || !strcmp(a.file, b.file));
}

std::string emu_thread_text(const emu_fiber *f) {
  const uint3 b = f->indices.block, t = f->indices.thread;
  return emu_format_text("block (%u,%u,%u) thread (%u,%u,%u)", b.x, b.y, b.z, t.x, t.y, t.z);
}

const char *emu_kept(std::string &&text) {
  static thread_local std::string kept[4];
  static thread_local unsigned n;
  std::string &own = kept[n++ % 4];
  own.swap(text);
  std::string().swap(text); /* what it had before: nobody frees TEXT */
  return own.c_str();
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
  emu_abandon();
}

/* ---- barriers ---- */

/* Some thread that is in this state. */
static const char *one_of(const emu_worker *w, emu_state state) {
  const void *p = memchr(w->state, state, (size_t)w->threads);
  const ptrdiff_t number = static_cast<const emu_state *>(p) - w->state;
  return emu_kept(emu_thread_text(&w->fibers[(size_t)number]));
}

void emu_barrier(emu_place at) {
  emu_worker *w = emu_worker_now;
  if (w->left) emu_fail(at, "__syncthreads, but %s has left", one_of(w, EMU_LEFT));
  if (w->at_barrier && !emu_same_place(w->barrier, at))
    emu_fail(at, "__syncthreads, but %s waits at another one, %s", one_of(w, EMU_AT_BARRIER),
             emu_kept(emu_place_text(w->barrier)));
  w->barrier = at;
  if (++w->at_barrier < w->threads) return emu_wait(EMU_AT_BARRIER, "__syncthreads", at);
  w->at_barrier = 0;
  emu_passed_barrier(w);
  for (int i = 0; i < w->threads; i++)
    if (i != w->running->number) emu_make_ready(w, i);
  emu_wait(EMU_READY, "", at); /* others may come first */
}

void emu_leave(emu_worker *w) {
  const emu_fiber *f = w->running;
  emu_warp *warp = &w->warps[f->warp];
  w->left++;
  warp->left |= 1u << f->lane;
  if (w->at_barrier)
    emu_fail(w->barrier, "%s waits here for all threads of its block, but this one has left",
             one_of(w, EMU_AT_BARRIER));
  for (int i = 0; i < warp->meetings; i++)
    if (warp->meet[i].mask >> f->lane & 1)
      emu_fail(warp->meet[i].at, "lanes %#x wait here (%s) for this one, which has left",
               warp->meet[i].here, warp->meet[i].what);
}

/* Every distinct place where threads wait. */
static std::string deadlock(const emu_worker *w) {
  std::string text = "no thread can go on:";
  for (int i = 0; i < w->threads; i++) {
    const emu_fiber *f = &w->fibers[(size_t)i];
    bool said = w->state[i] == EMU_LEFT;
    for (int j = 0; j < i; j++)
      said |= w->state[j] != EMU_LEFT && emu_same_place(w->fibers[(size_t)j].at, f->at);
    if (!said)
      text += emu_format_text(" %s waits at %s (%s);", emu_thread_text(f).c_str(),
                              emu_place_text(f->at).c_str(), f->what);
  }
  return text;
}

/* ---- blocks ---- */

static void begin_warps(emu_worker *w) {
  for (int i = 0; i * EMU_WARP < w->threads; i++) {
    const int lanes = w->threads - i * EMU_WARP;
    emu_warp *warp = &w->warps[i];
    warp->lanes = lanes < EMU_WARP ? (1u << lanes) - 1 : 0xffffffffu;
    warp->left = 0, warp->meetings = 0;
  }
}

/* A block runs with guards around its arrays of shared memory; an error names the block. */
static void run_block(emu_worker *w, uint3 block, dim3 blocks, dim3 threads, size_t shared_bytes) {
  w->threads = (int)(threads.x * threads.y * threads.z);
  w->left = w->at_barrier = w->n = 0;
  if (w->fibers.size() < (size_t)w->threads) w->fibers.resize((size_t)w->threads);
  w->error.clear();
  begin_warps(w);
  emu_begin_shared(w, shared_bytes);
  emu_begin_block(w, block, blocks);
  for (int i = 0; i < w->threads; i++) emu_begin_fiber(w, i, block, blocks, threads);
  emu_run_fibers(w);
  if (w->error.empty() && w->left < w->threads) w->error = deadlock(w);
  if (w->error.empty()) w->error = emu_shared_damage(w);
  emu_end_block(w);
  emu_end_shared(w);
}

/* ---- launches ---- */

extern "C" void emu_set_order(emu_order order, uint64_t seed) {
  const bool known = order == EMU_AS_ENVIRONMENT || (order >= EMU_ASCENDING && order < EMU_ORDERS);
  if (!known) {
    fprintf(stderr, "emulator: there is no order %d of threads\n", (int)order);
    abort();
  }
  all.set = order != EMU_AS_ENVIRONMENT;
  all.order = order, all.seed = seed;
}

/* The order of a launch, where nobody has set one. */
static void ask_environment(void) {
  const emu_environment &e = emu_environment_now();
  if (!all.set) all.order = e.order, all.seed = e.seed;
}

/* What a card would not launch, as its manual's table of compute capabilities has it. */
static bool refused(dim3 grid, dim3 block, size_t shared_bytes) {
  const uint64_t threads = (uint64_t)block.x * block.y * block.z;
  if (threads == 0 || threads > EMU_THREADS || block.z > 64) return true;
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) return true;
  return shared_bytes > emu_shared_limit();
}

static emu_worker *worker(void) {
  static thread_local emu_worker *own;
  if (!own) emu_alarm_worker(own = new emu_worker());
  return own;
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
  w->order = all.order;
  w->kernel = l->name, w->body = l->body, w->argument = l->argument;
  w->shared_grain = 2;
  for (uint64_t k; !emu_failed() && (k = l->next++) < l->blocks;) {
    const uint64_t i = all.order == EMU_DESCENDING ? l->blocks - 1 - k : k;
    const uint3 block = {(unsigned)(i % l->grid.x), (unsigned)(i / l->grid.x % l->grid.y),
                         (unsigned)(i / l->grid.x / l->grid.y)};
    w->random = all.seed * 0x9e3779b97f4a7c15u + i; /* the same whoever runs the block */
    run_block(w, block, l->grid, l->block, l->shared_bytes);
    if (!w->error.empty())
      emu_set_error(emu_format_text("kernel %s: %s", l->name, w->error.c_str()));
  }
}

int emu_launch(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
               void (*body)(void *), void *argument, size_t argument_bytes) {
  ask_environment();
  if (emu_failed()) return cudaErrorLaunchFailure;
  if (refused(grid, block, shared_bytes)) return cudaErrorInvalidConfiguration;
  if (emu_planted_failure(name)) return cudaSuccess;
  launch l = {name, grid, block, shared_bytes, body, argument, {0}, 0};
  l.blocks = (uint64_t)grid.x * grid.y * grid.z;
  const bool one = emu_begin_launch(name, kernel, grid, block, argument, argument_bytes) ||
                   l.blocks * block.x * block.y * block.z < 4096;
  emu_alarm_begin();
#pragma omp parallel if (!one)
  work(&l);
  emu_alarm_end();
  emu_end_launch();
  emu_check_guards();
  return emu_failed() ? cudaErrorLaunchFailure : cudaSuccess;
}
