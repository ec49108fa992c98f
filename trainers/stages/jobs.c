#include "stages/jobs.h"
#include "base/fs.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
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

static const char threads_name[] = "OMP_NUM_THREADS";

/* Whether the VARIABLE of an environment says how many threads there are. */
static bool says_threads(const char *variable) {
  const size_t n = sizeof threads_name - 1;
  return !strncmp(variable, threads_name, n) && variable[n] == '=';
}

/* The environment with THREADS for each process. */
static cz_status environment(char ***out, char *variable, size_t n, int threads) {
  size_t count = 0, kept = 0;
  while (environ[count]) count++;
  CZ_TRY(cz_alloc(out, count + 2, sizeof **out));
  for (size_t i = 0; i < count; i++)
    if (!says_threads(environ[i])) (*out)[kept++] = environ[i];
  snprintf(variable, n, "%s=%d", threads_name, threads);
  (*out)[kept] = variable;
  return CZ_OK;
}

/* Threads of each of N processes: a share of those that the user asks for, else of the cores. What
 * OpenMP would say is less where the BLAS is held to one thread (device.c). */
static int share_of(int64_t n) {
  const char *asked = getenv(threads_name);
  const long wanted = asked ? strtol(asked, NULL, 10) : 0,
             all = wanted > 0 && wanted < INT_MAX ? wanted : omp_get_num_procs();
  return all > n ? (int)(all / n) : 1;
}

/** Starts N - 1 processes of this program with ARGV, so that with this one there are N, each with
 * its share of the cores, or of the threads that OMP_NUM_THREADS asks for; WHAT is the folder that
 * they work in, for the message. End with cz_jobs_wait, also after a failure. */
cz_status cz_jobs_start(cz_jobs *jobs, int64_t n, char *const argv[], const char *what) {
  const int threads = share_of(n);
  char **env = NULL;
  char variable[64];
  cz_status st = CZ_OK;
  *jobs = (cz_jobs){.threads = omp_get_max_threads()};
  CZ_TRY(environment(&env, variable, sizeof variable, threads));
  for (; st == CZ_OK && jobs->n < n - 1; jobs->n++) {
    const int bad = posix_spawn(&jobs->pids[jobs->n], "/proc/self/exe", NULL, NULL, argv, env);
    if (bad) CZ_GO(st, CZ_FAIL(CZ_EIO, "%s: can't start a process: %s", what, strerror(bad)), done);
  }
  omp_set_num_threads(threads);
done:
  free(env);
  return st;
}

/** cz_jobs_start of S->jobs processes that join the stage of KIND in FOLDER, whose configuration is
 * there already and whose checkpoints have HASH; none where S joins itself, or has ranks instead.
 */
cz_status cz_jobs_members(cz_jobs *jobs, const cz_session *s, const char *kind, const char *folder,
                          uint64_t hash) {
  char config[4096], word[64];
  *jobs = (cz_jobs){0};
  if (s->joins || s->jobs < 2 || s->comm->size > 1) return CZ_OK;
  CZ_TRY(cz_fs_join(config, sizeof config, folder, "config.yaml"));
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
  return cz_jobs_start(jobs, s->jobs, argv, folder);
}

/** Waits for the processes, and takes the cores back. After a failure of this process's OWN work,
 * which it says, or a signal, they are told to stop, which they do at their next checkpoint. Else
 * warns of one that failed: what it held is then this process's to compute, and its message stands
 * above. */
cz_status cz_jobs_wait(cz_jobs *jobs, cz_status own) {
  for (int i = 0; own != CZ_OK && i < jobs->n; i++) kill(jobs->pids[i], SIGTERM);
  for (; jobs->n > 0; jobs->n--) {
    int how = 0;
    while (waitpid(jobs->pids[jobs->n - 1], &how, 0) < 0)
      if (errno != EINTR)
        return CZ_FAIL(CZ_EIO, "a process of --jobs is lost: %s", strerror(errno));
    if (own == CZ_OK && (!WIFEXITED(how) || WEXITSTATUS(how)))
      cz_warn("a process of --jobs ended with %s %d", WIFEXITED(how) ? "code" : "signal",
              WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
  }
  if (jobs->threads) omp_set_num_threads(jobs->threads);
  return CZ_OK;
}

/** What a process does first that cz_jobs_start made: ties itself to the one that made it, PROCESS
 * by its decimal number, which OPTION gave. From then on it is killed when that one ends, and of
 * ctrl-C, which the terminal sends to both, it hears from that one alone (cz_jobs_wait): a second
 * signal would end it at once. CZ_EUSAGE for another word, CZ_EINTERRUPT where the other has ended
 * already, of which the system says nothing any more. */
cz_status cz_jobs_tie(const char *option, const char *process) {
  char *end;
  const long parent = strtol(process, &end, 10);
  if (parent <= 0 || *end)
    return CZ_FAIL(CZ_EUSAGE, "%s: '%s' is no process, as cloze --jobs gives it", option, process);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL))
    return CZ_FAIL(CZ_EIO, "%s: this process can't be tied to %ld: %s", option, parent,
                   strerror(errno));
  if (getppid() != (pid_t)parent)
    return CZ_FAIL(CZ_EINTERRUPT, "%s: process %ld, which asked for this one, has ended", option,
                   parent);
  signal(SIGINT, SIG_IGN);
  return CZ_OK;
}

/** cz_jobs_tie of a process that joins a stage and was given WORD, HASH:PROCESS; learns the HASH of
 * the stage's checkpoints. */
cz_status cz_jobs_join(uint64_t *hash, const char *word) {
  char *colon;
  *hash = strtoull(word, &colon, 16);
  if (colon == word || *colon != ':')
    return CZ_FAIL(CZ_EUSAGE, "--join: '%s' is not HASH:PROCESS, as cloze --jobs gives it", word);
  return cz_jobs_tie("--join", colon + 1);
}
