/* What ends a process whose kernel does not end, or uses memory that is not there: both would
 * otherwise say nothing of the kernel. The process is lost either way, so that its handlers may do
 * what a handler may not. */
#include "emulator/source_lines.h"

#include <atomic>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#ifdef CZ_SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

enum { ALARM = SIGXCPU, HANDLER_STACK = 64 * 1024, WORKERS = 256 };

static struct {
  int seconds = -1; /* not yet asked for */
  pid_t process;    /* the timer's: a child has none */
  timer_t timer;
  struct sigaction segv, bus; /* of the program, between kernels */
  std::atomic<int> n;
  emu_worker *workers[WORKERS];
} all;

static const void *pc_of(const void *context) {
  const ucontext_t *c = static_cast<const ucontext_t *>(context);
  return reinterpret_cast<const void *>(c->uc_mcontext.gregs[REG_RIP] + 1);
}

[[noreturn]] static void end(void) {
  signal(SIGABRT, SIG_DFL);
  abort();
}

/* What runs just now, a line a thread of the host. */
static std::string running_text(void) {
  std::string text;
  for (int i = 0; i < all.n; i++) {
    const emu_worker *w = all.workers[i];
    const emu_fiber *f = w->running;
    if (f) text += emu_format_text("  kernel %s: %s\n", w->kernel, emu_thread_text(f).c_str());
  }
  return text;
}

static void report_alarm(int signal, siginfo_t *info, void *context) {
  std::string text = emu_format_text("emulator: a kernel has taken %d s of the processor's time: a "
                                     "loop without end, or it waits for another block, which runs "
                                     "after this one\n",
                                     all.seconds);
  text += running_text() + "  at " + emu_pc_text(pc_of(context)) + "\n";
  fputs(text.c_str(), stderr);
  end();
}

#ifdef CZ_SANITIZED
/* A sanitizer has told of the place, and the process ends. */
static void report_end(void) { fputs(running_text().c_str(), stderr); }
#else
static void report_fault(int signal, siginfo_t *info, void *context) {
  const emu_worker *w = emu_worker_now;
  const emu_fiber *f = w ? w->running : nullptr;
  const unsigned char *at = static_cast<const unsigned char *>(info->si_addr);
  std::string text = emu_format_text("emulator: signal %d", signal);
  if (f) text = emu_format_text("emulator: kernel %s: %s", w->kernel, emu_thread_text(f).c_str());
  text += ", " + emu_pc_text(pc_of(context));
  if (f && at < f->stack && at >= f->stack - EMU_PAGE)
    text += emu_format_text(": the thread's stack of %d bytes is full\n", EMU_STACK);
  else
    text += emu_format_text(": no memory at %p, or an access that is not aligned\n", at);
  fputs(text.c_str(), stderr);
  end();
}
#endif

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), struct sigaction *was) {
  struct sigaction act = {};
  act.sa_sigaction = handler;
  act.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(signal, &act, was);
}

static int limit(void) {
  if (all.seconds < 0) all.seconds = emu_environment_now().seconds;
  return all.seconds;
}

extern "C" void emu_set_limit(int seconds) { all.seconds = seconds; }

static void set_timer(int seconds) {
  struct itimerspec after = {};
  after.it_value.tv_sec = seconds;
  timer_settime(all.timer, 0, &after, nullptr);
}

static void make_timer(void) {
  struct sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = ALARM;
  if (timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &all.timer)) {
    perror("emulator: timer");
    abort();
  }
  handle(ALARM, report_alarm, nullptr);
  all.process = getpid();
}

void emu_alarm_begin(void) {
  if (all.process != getpid()) make_timer();
  set_timer(limit());
#ifdef CZ_SANITIZED
  __sanitizer_set_death_callback(report_end);
#else
  handle(SIGSEGV, report_fault, &all.segv);
  handle(SIGBUS, report_fault, &all.bus);
#endif
}

void emu_alarm_end(void) {
  set_timer(0);
#ifndef CZ_SANITIZED
  sigaction(SIGSEGV, &all.segv, nullptr);
  sigaction(SIGBUS, &all.bus, nullptr);
#endif
}

/* A full stack leaves no room for the handler of its fault. */
void emu_alarm_worker(emu_worker *w) {
  stack_t stack = {}, was = {};
  if (all.n < WORKERS) all.workers[all.n++] = w;
  if (sigaltstack(nullptr, &was) || !(was.ss_flags & SS_DISABLE)) return;
  stack.ss_sp = malloc(HANDLER_STACK);
  stack.ss_size = HANDLER_STACK;
  if (!stack.ss_sp || sigaltstack(&stack, nullptr)) perror("emulator: stack of a handler");
}
