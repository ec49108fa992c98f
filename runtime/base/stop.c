#include "base/stop.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t requested, announces;

static void request_stop(int signal_number) {
  static const char message[] =
      "\ncloze: stopping as soon as everything is saved; a second signal stops at once\n";
  if (requested) _Exit(128 + signal_number); /* the last checkpoint is whole */
  requested = 1;
  ssize_t n = announces ? write(STDERR_FILENO, message, sizeof message - 1) : 0;
  (void)n; /* a message that cannot be written is lost */
}

/** From now on the first SIGINT or SIGTERM makes cz_stop_requested true: loops then save a
 * checkpoint and end with CZ_EINTERRUPT. The second signal ends the process at once.
 * ANNOUNCE: the first one prints what happens. Under mpirun nothing is printed: it sends
 * SIGTERM to all ranks also when one of them has failed, and then the message would be
 * wrong. */
void cz_stop_on_signals(bool announce) {
  announces = announce;
  struct sigaction a = {.sa_handler = request_stop};
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
}

/** Whether a signal has asked this process to stop. */
bool cz_stop_requested(void) { return requested != 0; }

/** CZ_EINTERRUPT when a signal has asked this process to stop: for work that has no
 * checkpoint of its own and begins from its start the next time. WHAT names it, or is the file
 * that is being read. Never true in a process that has not called cz_stop_on_signals. */
cz_status cz_stop_check(const char *what) {
  return requested ? CZ_FAIL(CZ_EINTERRUPT, "%s: stopped; run the same command again", what)
                   : CZ_OK;
}
