#include "stages/jobs.h"
#include "base/fs.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <omp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The environment with THREADS for each process's own share of the cores. */
static cz_status environment(char ***out, char *variable, size_t n, int threads) {
  static const char name[] = "OMP_NUM_THREADS=";
  size_t count = 0, kept = 0;
  while (environ[count]) count++;
  CZ_TRY(cz_alloc(out, count + 2, sizeof **out));
  for (size_t i = 0; i < count; i++)
    if (strncmp(environ[i], name, sizeof name - 1)) (*out)[kept++] = environ[i];
  snprintf(variable, n, "%s%d", name, threads);
  (*out)[kept] = variable;
  return CZ_OK;
}

/** Starts S->jobs - 1 processes that join the stage of KIND in FOLDER, whose configuration is there
 * already and whose checkpoints have HASH; none where S joins itself, or has ranks instead. Each
 * process, this one too, has its share of the cores. End with cz_jobs_wait, also after a failure.
 */
cz_status cz_jobs_start(cz_jobs *jobs, const cz_session *s, const char *kind, const char *folder,
                        uint64_t hash) {
  char config[4096], variable[64], word[64];
  char **env = NULL;
  cz_status st;
  *jobs = (cz_jobs){.threads = omp_get_max_threads()};
  if (s->joins || s->jobs < 2 || s->comm->size > 1) return CZ_OK;
  const int share = omp_get_num_procs() / (int)s->jobs, threads = share > 0 ? share : 1;
  CZ_TRY(cz_fs_join(config, sizeof config, folder, "config.yaml"));
  CZ_TRY(environment(&env, variable, sizeof variable, threads));
  snprintf(word, sizeof word, "%016" PRIx64 ":%ld", hash, (long)getpid());
  char *const argv[] = {(char *)"cloze",
                        (char *)kind,
                        config,
                        (char *)"--out",
                        (char *)folder,
                        (char *)"--join",
                        word,
                        (char *)"--device",
                        (char *)s->device->name,
                        NULL};
  for (st = CZ_OK; st == CZ_OK && jobs->n < s->jobs - 1; jobs->n++) {
    const int bad = posix_spawn(&jobs->pids[jobs->n], "/proc/self/exe", NULL, NULL, argv, env);
    if (bad)
      CZ_GO(st, CZ_FAIL(CZ_EIO, "%s: can't start a process: %s", folder, strerror(bad)), done);
  }
  omp_set_num_threads(threads);
done:
  free(env);
  return st;
}

/** Waits for the processes, and takes the cores back. After a failure of this process's OWN work,
 * which it says, or a signal, they are told to stop, which they do at their next checkpoint. Else
 * warns of one that failed: its members are then this process's to compute, and its message stands
 * above. */
cz_status cz_jobs_wait(cz_jobs *jobs, cz_status own) {
  for (int i = 0; own != CZ_OK && i < jobs->n; i++) kill(jobs->pids[i], SIGTERM);
  for (; jobs->n > 0; jobs->n--) {
    int how = 0;
    while (waitpid(jobs->pids[jobs->n - 1], &how, 0) < 0)
      if (errno != EINTR)
        return CZ_FAIL(CZ_EIO, "a process that computed members is lost: %s", strerror(errno));
    if (own == CZ_OK && (!WIFEXITED(how) || WEXITSTATUS(how)))
      cz_warn("a process that computed members ended with %s %d",
              WIFEXITED(how) ? "code" : "signal",
              WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
  }
  if (jobs->threads) omp_set_num_threads(jobs->threads);
  return CZ_OK;
}

/** What a process does first that cz_jobs_start made and gave WORD: ties itself to the one that
 * made it, and learns the HASH of the stage's checkpoints. From then on it is killed when that one
 * ends, and of ctrl-C, which the terminal sends to both, it hears from that one alone
 * (cz_jobs_wait): a second signal would end it at once. CZ_EUSAGE for another word, CZ_EINTERRUPT
 * where the other has ended already, of which the system says nothing any more. */
cz_status cz_jobs_join(uint64_t *hash, const char *word) {
  char *colon, *end;
  *hash = strtoull(word, &colon, 16);
  const bool whole = colon > word && *colon == ':';
  const long parent = strtol(colon + whole, &end, 10);
  if (!whole || parent <= 0 || *end)
    return CZ_FAIL(CZ_EUSAGE, "--join: '%s' is not HASH:PROCESS, as cloze --jobs gives it", word);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL))
    return CZ_FAIL(CZ_EIO, "--join: this process can't be tied to %ld: %s", parent,
                   strerror(errno));
  if (getppid() != (pid_t)parent)
    return CZ_FAIL(CZ_EINTERRUPT, "--join: process %ld, which asked for members, has ended",
                   parent);
  signal(SIGINT, SIG_IGN);
  return CZ_OK;
}
