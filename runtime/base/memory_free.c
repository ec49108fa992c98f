#include "base/memory_free.h"
#include "base/fs.h"
#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number behind NAME at the beginning of a line of the file PATH, times UNIT; an empty NAME:
 * the file's first. False when there is none, as where a control group has no limit ("max"). */
static bool number_in(int64_t *out, const char *path, const char *name, int64_t unit) {
  char line[512];
  bool found = false;
  FILE *f = fopen(path, "r");
  if (!f) return false;
  const size_t n = strlen(name);
  while (!found && fgets(line, sizeof line, f)) {
    char *end;
    if (strncmp(line, name, n)) continue;
    *out = unit * (int64_t)strtoll(line + n, &end, 10);
    found = end > line + n;
  }
  fclose(f);
  return found;
}

/* The files of a control group, of the second version and the first. */
static const struct group {
  const char *controllers, *mounted, *limit, *used, *inactive;
} groups[] = {{"", "", "memory.max", "memory.current", "inactive_file "},
              {"memory", "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
               "total_inactive_file "}};

/* Lowers M to what the control group in FOLDER leaves; pages of files that nobody uses any more are
 * given up before a process is killed. */
static void lower(cz_memory_free *m, const struct group *g, const char *folder) {
  char limit[4200], used[4200], stat[4200];
  int64_t all = 0, now = 0, files = 0;
  snprintf(limit, sizeof limit, "%s/%s", folder, g->limit);
  snprintf(used, sizeof used, "%s/%s", folder, g->used);
  snprintf(stat, sizeof stat, "%s/memory.stat", folder);
  if (!number_in(&all, limit, "", 1) || !number_in(&now, used, "", 1)) return;
  if (!number_in(&files, stat, g->inactive, 1)) files = 0;
  const int64_t left = all > now - files ? all - now + files : 0;
  if (left < m->bytes) *m = (cz_memory_free){.bytes = left, .says = "the control group"};
}

/* The group that a line of /proc/self/cgroup names, "4:memory:/path", and, as in a container, the
 * one at the top of what is mounted. */
static void lower_by_line(cz_memory_free *m, const char *root, char *line) {
  char folder[4096];
  char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
  if (!path) return;
  *path++ = '\0';
  path[strcspn(path, "\n")] = '\0';
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
    const struct group *g = &groups[i];
    if (strcmp(controllers + 1, g->controllers)) continue;
    snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s%s", root, g->mounted, path);
    lower(m, g, folder);
    snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s", root, g->mounted);
    lower(m, g, folder);
  }
}

/** What is left: the bytes that CZ_MEMORY of the environment says, else those that the system's
 * /proc/meminfo has as available, or less where a control group of this process has a limit. ROOT
 * stands before all paths, empty but in tests. CZ_EUSAGE when CZ_MEMORY is no number of bytes. */
cz_status cz_memory_free_find(cz_memory_free *m, const char *root) {
  char path[4096], line[4096];
  const char *given = getenv("CZ_MEMORY");
  *m = (cz_memory_free){.bytes = INT64_MAX, .says = "nothing"};
  if (given) {
    if (cz_parse_int(given, &m->bytes) == CZ_OK && m->bytes >= 0)
      return m->says = "CZ_MEMORY", CZ_OK;
    return CZ_FAIL(CZ_EUSAGE, "CZ_MEMORY: '%s' is no number of bytes", given);
  }
  snprintf(path, sizeof path, "%s/proc/meminfo", root);
  if (number_in(&m->bytes, path, "MemAvailable:", 1024)) m->says = "/proc/meminfo";
  snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
  FILE *f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f)) lower_by_line(m, root, line);
  if (f) fclose(f);
  return CZ_OK;
}
