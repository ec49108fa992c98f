/* The emulator's own parts, which kernels do not see: fibers and their scheduler (scheduler.cpp),
 * collectives of a warp and models of instructions (warp.cpp), device memory and the CUDA runtime's
 * functions (runtime.cpp), products (product.cpp), and the checks and counts of every access of a
 * kernel that was compiled for them (access.cpp, races.cpp, counts.cpp). */
#ifndef CZ_TESTS_EMULATOR_EMULATOR_H
#define CZ_TESTS_EMULATOR_EMULATOR_H

#include "emulator/control.h"
#include "emulator/language.h"

#include <string>
#include <vector>

enum { EMU_THREADS = 1024, EMU_WARP = 32, EMU_WARPS = EMU_THREADS / EMU_WARP };
enum { EMU_STACK = 256 * 1024, EMU_PAGE = 4096 };
enum { EMU_SHARED_BYTES = 227 * 1024, EMU_SHARED_GUARD = 256 };

enum emu_state { EMU_READY, EMU_AT_BARRIER, EMU_IN_WARP, EMU_LEFT };

struct emu_copy { /* cp.async: on its way until its group was waited for */
  void *to;
  const void *from;
  bool present;
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
  emu_state state;
  emu_place at; /* where it waits */
  const char *what;
  std::vector<std::vector<emu_copy>> groups; /* the last is not yet committed */
};

/* Lanes of a warp that are on their way to one collective. */
struct emu_meeting {
  unsigned mask, here;
  const char *what;
  emu_place at;
  void *lanes[EMU_WARP];
};

struct emu_array { /* of shared memory */
  const void *key;
  const char *name;
  size_t offset, bytes;
};

struct emu_warp {
  std::vector<emu_meeting> meetings;
};

/* One thread of the host and the block that it works on. */
struct emu_worker {
  void *sp; /* the scheduler's */
  const void *host_stack;
  size_t host_stack_bytes;
  emu_fiber *running;
  std::vector<emu_fiber> fibers;
  int threads;
  void (*body)(void *);
  void *argument;
  emu_warp warps[EMU_WARPS];
  unsigned char *shared; /* EMU_SHARED_BYTES and room for guards */
  size_t shared_bytes, shared_end;
  std::vector<emu_array> arrays;
  std::string error; /* ends the block */
};

extern thread_local emu_worker *emu_worker_now;

std::string emu_format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
std::string emu_place_text(emu_place at);
std::string emu_thread_text(const emu_fiber *f);

/* Ends the block with an error of the running thread; AT without a file: TEXT says where. */
[[noreturn]] void emu_fail(emu_place at, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void emu_wait(emu_state state, const char *what, emu_place at);
bool emu_in_shared(const void *p, size_t bytes);
void emu_set_error(const std::string &text);
bool emu_failed(void);
const char *emu_error_text(void); /* good until it is taken */
void emu_check_guards(void);

#endif
