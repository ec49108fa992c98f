/* The emulator's own parts, which kernels do not see: fibers (fibers.cpp), blocks and launches
 * (scheduler.cpp), collectives of a warp and models of instructions (warp.cpp, models.cpp), shared
 * memory (shared.cpp), device memory and the CUDA runtime's functions (runtime.cpp), products
 * (product.cpp), what ends a kernel that does not end (alarm.cpp), what the environment says
 * (environment.cpp), and the checks and counts of every access of a kernel that was compiled for
 * them (access.cpp, races.cpp, counts.cpp). */
#ifndef CZ_TESTS_EMULATOR_EMULATOR_H
#define CZ_TESTS_EMULATOR_EMULATOR_H

#include "emulator/control.h"
#include "emulator/language.h"

#include <string>
#include <vector>

enum { EMU_THREADS = 1024, EMU_WARP = 32, EMU_WARPS = EMU_THREADS / EMU_WARP };
enum { EMU_STACK = 256 * 1024, EMU_PAGE = 4096 };
enum { EMU_SHARED_BYTES = 227 * 1024, EMU_SHARED_GUARD = 256, EMU_ARENA = 320 * 1024 };

enum emu_state : unsigned char { EMU_READY, EMU_AT_BARRIER, EMU_IN_WARP, EMU_LEFT };

struct emu_copy { /* cp.async: on its way until its group was waited for */
  void *to;
  const void *from;
  bool present;
  unsigned char bytes[16]; /* of FROM when it was asked for; zeros when not PRESENT */
  const void *pc;          /* where it was asked for */
};

struct emu_product { /* wgmma: under way until its group was waited for */
  float *to;
  float d[4];
  int group; /* how many were committed before */
};

struct emu_indices { /* of a thread: its own, and those of its block */
  uint3 thread, block;
  dim3 threads, blocks;
};

struct emu_fiber {
  emu_indices indices;
  void *sp; /* where it goes on */
  unsigned char *stack;
  void *fake_stack; /* of the address sanitizer */
  int number, warp, lane;
  emu_place at; /* where it waits */
  const char *what;
  std::vector<emu_copy> copies;      /* in the order in which they were asked for */
  std::vector<size_t> groups;        /* where each committed group ends in copies */
  size_t landed, waited;             /* how many copies have, and how many groups */
  std::vector<emu_product> products; /* that nobody has waited for */
  int product_groups;                /* committed ones */
};

/* Lanes of a warp that are on their way to one collective; mask 0: nobody. */
struct emu_meeting {
  unsigned mask, here;
  const char *what;
  emu_place at;
  void *lanes[EMU_WARP];
};

struct emu_warp {
  unsigned lanes, left; /* that there are; that have left */
  int meetings;         /* places of MEET in use, or unused ones before those */
  emu_meeting meet[EMU_WARP];
};

struct emu_array { /* of shared memory */
  const void *key;
  const char *name;
  size_t offset, bytes;
  int grain; /* emu_shadow */
};

/* One thread of the host and the block that it works on. */
struct emu_worker {
  void *sp; /* the scheduler's */
  const void *host_stack;
  size_t host_stack_bytes;
  bool from_host; /* the scheduler has just resumed a fiber */
  emu_fiber *running;
  std::vector<emu_fiber> fibers;
  int threads, left, at_barrier;
  emu_place barrier;
  emu_state state[EMU_THREADS];
  emu_order order;
  int turn;                  /* whose turn was last */
  int ready[EMU_THREADS], n; /* in random order: who can go on */
  uint64_t random;
  const char *kernel;
  void (*body)(void *);
  void *argument;
  emu_warp warps[EMU_WARPS];
  unsigned char *shared; /* EMU_SHARED_BYTES and room for guards */
  size_t shared_bytes, shared_end;
  int shared_grain; /* of the next array: the finest of this launch so far */
  std::vector<emu_array> arrays;
  std::string error; /* ends the block */
};

/* Read by every access of a kernel: at a fixed distance from the thread's pointer, of which the
 * loader keeps some room for modules that come late. */
#define EMU_NEAR __attribute__((tls_model("initial-exec")))
extern thread_local emu_worker *emu_worker_now EMU_NEAR;

std::string emu_format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
std::string emu_place_text(emu_place at);
std::string emu_thread_text(const emu_fiber *f);
bool emu_same_place(emu_place a, emu_place b);
/* Text for emu_fail, which does not return to where a string would be freed; good until the fifth
 * call. */
const char *emu_kept(std::string &&text);

/* Ends the block with an error of the running thread; AT without a file: the text says where. */
[[noreturn]] void emu_fail(emu_place at, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- environment.cpp ---- */

struct emu_environment { /* CZ_EMULATOR_... */
  emu_order order = EMU_ASCENDING;
  uint64_t seed = 1;
  bool counts = false;
  int seconds = 120;
  size_t memory = 0;
  std::string memory_file; /* empty: MEMORY it is */
  size_t shared = EMU_SHARED_BYTES;
  std::string failing_kernel; /* empty: none */
  uint64_t failing_launch = 0;
  bool epilogues = true;
};

/* Reads all variables anew; what is wrong with one, or empty. */
std::string emu_read_environment(void);
const emu_environment &emu_environment_now(void);
size_t emu_memory_limit(void); /* what the file has now, where it is one */
size_t emu_shared_limit(void); /* of a block that asks for it */

/* ---- fibers.cpp ---- */

/* The running thread waits; others go on. One that is EMU_READY lets others come first. */
void emu_wait(emu_state state, const char *what, emu_place at);
void emu_make_ready(emu_worker *w, int number);
void emu_begin_fiber(emu_worker *w, int number, uint3 block, dim3 blocks, dim3 threads);
/* Runs them until all have left, none can go on, or one has ended the block by an error. */
void emu_run_fibers(emu_worker *w);
/* Leaves the running fiber for ever. */
[[noreturn]] void emu_abandon(void);
/* What the running thread's leaving breaks; ends the block then. */
void emu_leave(emu_worker *w);

/* ---- models.cpp ---- */

/* Fail where a thread that ends has not waited for all that it copies, or multiplies. */
void emu_copy_end(const emu_fiber *f);
void emu_wgmma_end(const emu_fiber *f);

/* ---- scheduler.cpp ---- */

void emu_set_error(const std::string &text);
bool emu_failed(void);
const char *emu_error_text(void); /* good until it is taken */

/* ---- runtime.cpp ---- */

bool emu_planted_failure(const char *kernel);

/* ---- shared.cpp: shared memory of a block, arrays between guards ---- */

void emu_begin_shared(emu_worker *w, size_t dynamic_bytes);
void emu_end_shared(emu_worker *w);
std::string emu_shared_damage(const emu_worker *w);
/* The array that N bytes from P on lie in, or null; anywhere between the arrays. */
emu_array *emu_shared_at(emu_worker *w, const void *p, size_t bytes);
bool emu_in_arena(const emu_worker *w, const void *p);
bool emu_in_shared(const void *p, size_t bytes);

/* ---- alarm.cpp ---- */

/* A kernel may take so much of the processor's time; then the process is ended. */
void emu_alarm_begin(void);
void emu_alarm_end(void);
/* The worker's faults in memory are named, on a stack of their own. */
void emu_alarm_worker(emu_worker *w);

void emu_check_guards(void);

#endif
