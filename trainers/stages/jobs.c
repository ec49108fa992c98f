#include "stages/jobs.h"
#include "base/fs.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <omp.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

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
  char config[4096], variable[64], hex[32];
  char **env = NULL;
  cz_status st;
  *jobs = (cz_jobs){.threads = omp_get_max_threads()};
  if (s->joins || s->jobs < 2 || s->comm->size > 1) return CZ_OK;
  const int share = omp_get_num_procs() / (int)s->jobs, threads = share > 0 ? share : 1;
  CZ_TRY(cz_fs_join(config, sizeof config, folder, "config.yaml"));
  CZ_TRY(environment(&env, variable, sizeof variable, threads));
  snprintf(hex, sizeof hex, "%016" PRIx64, hash);
  char *const argv[] = {(char *)"cloze",
                        (char *)kind,
                        config,
                        (char *)"--out",
                        (char *)folder,
                        (char *)"--join",
                        hex,
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

/** Waits for the processes, and takes the cores back. Warns of one that failed: its members are
 * then this process's to compute, and its message stands above. */
cz_status cz_jobs_wait(cz_jobs *jobs) {
  for (; jobs->n > 0; jobs->n--) {
    int how = 0;
    while (waitpid(jobs->pids[jobs->n - 1], &how, 0) < 0)
      if (errno != EINTR)
        return CZ_FAIL(CZ_EIO, "a process that computed members is lost: %s", strerror(errno));
    if (!WIFEXITED(how) || WEXITSTATUS(how))
      cz_warn("a process that computed members ended with %s %d",
              WIFEXITED(how) ? "code" : "signal",
              WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
  }
  if (jobs->threads) omp_set_num_threads(jobs->threads);
  return CZ_OK;
}
