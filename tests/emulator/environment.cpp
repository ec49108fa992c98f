/* What the variables of the environment say: read all together, when a device is opened. A program
 * that runs kernels without a device, as some tests do, has them read at its first launch, and ends
 * where one is wrong. CONTRIBUTING.md has a table of them. */
#include "emulator/emulator.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
  bool read;
  emu_environment found;
} all;

/* Half of the machine's memory. */
static size_t usual_memory(void) {
  return (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) / 2;
}

/* TEXT as a whole number from LEAST to MOST, and nothing behind it. */
static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *value) {
  char *end;
  errno = 0;
  if (*text < '0' || *text > '9') return false;
  *value = strtoull(text, &end, 10);
  return !*end && !errno && *value >= least && *value <= most;
}

static bool read_order(const char *text, emu_environment *e) {
  const bool known = text[0] >= '0' && text[0] < '0' + EMU_ORDERS;
  if (!known) return false;
  e->order = (emu_order)(text[0] - '0');
  if (!text[1]) return true;
  return e->order == EMU_RANDOM && text[1] == ':' && number(text + 2, 0, UINT64_MAX, &e->seed);
}

static bool read_mode(const char *text, emu_environment *e) {
  e->counts = !strcmp(text, "count");
  return e->counts || !strcmp(text, "check");
}

static bool read_seconds(const char *text, emu_environment *e) {
  uint64_t value;
  if (!number(text, 0, INT_MAX, &value)) return false;
  e->seconds = (int)value;
  return true;
}

/* A file may come later, and others may be writing it. */
static bool read_memory(const char *text, emu_environment *e) {
  uint64_t value;
  if (*text == '/') {
    e->memory_file = text;
    return true;
  }
  if (!number(text, 1, SIZE_MAX, &value)) return false;
  e->memory = (size_t)value;
  return true;
}

static bool read_shared(const char *text, emu_environment *e) {
  uint64_t value;
  if (!number(text, 1, EMU_SHARED_BYTES, &value)) return false;
  e->shared = (size_t)value;
  return true;
}

static bool read_failure(const char *text, emu_environment *e) {
  const char *colon = strrchr(text, ':');
  if (!colon || colon == text || !number(colon + 1, 1, UINT64_MAX, &e->failing_launch))
    return false;
  e->failing_kernel.assign(text, (size_t)(colon - text));
  return true;
}

static bool read_epilogues(const char *text, emu_environment *e) {
  e->epilogues = !strcmp(text, "1");
  return e->epilogues || !strcmp(text, "0");
}

static const struct variable {
  const char *name, *allowed;
  bool (*read)(const char *text, emu_environment *e);
} variables[] = {
    {"CZ_EMULATOR_ORDER", "0, 1, 2 or 2:SEED, SEED being a whole number", read_order},
    {"CZ_EMULATOR_MODE", "check or count", read_mode},
    {"CZ_EMULATOR_SECONDS", "a whole number of seconds, 0 for any", read_seconds},
    {"CZ_EMULATOR_MEMORY", "a whole number of bytes above 0, or /FILE, which has one", read_memory},
    {"CZ_EMULATOR_SHARED", "a whole number of bytes, from 1 to 232448", read_shared},
    {"CZ_EMULATOR_FAIL", "NAME:N, the N-th launch of the kernel NAME, N from 1 on", read_failure},
    {"CZ_EMULATOR_EPILOGUES", "0 or 1", read_epilogues},
};
static_assert(EMU_SHARED_BYTES == 232448, "the text says so");

std::string emu_read_environment(void) {
  emu_environment e;
  e.memory = usual_memory();
  all.read = true; /* what is wrong is told once, here */
  for (const variable &v : variables) {
    const char *text = getenv(v.name);
    if (text && *text && !v.read(text, &e))
      return emu_format_text("%s is '%s'; it takes %s", v.name, text, v.allowed);
  }
#ifndef CZ_EMULATOR_CHECKS
  if (e.counts) return "CZ_EMULATOR_MODE is 'count', and accesses are counted by emu:check alone";
#endif
  all.found = e;
  return "";
}

const emu_environment &emu_environment_now(void) {
  if (all.read) return all.found;
  const std::string wrong = emu_read_environment();
  if (wrong.empty()) return all.found;
  fprintf(stderr, "emulator: %s\n", wrong.c_str());
  exit(2);
}

size_t emu_memory_limit(void) {
  const emu_environment &e = emu_environment_now();
  unsigned long long bytes = e.memory;
  FILE *file = e.memory_file.empty() ? nullptr : fopen(e.memory_file.c_str(), "r");
  if (!file) return e.memory;
  if (fscanf(file, "%llu", &bytes) != 1) bytes = e.memory;
  fclose(file);
  return (size_t)bytes;
}

size_t emu_shared_limit(void) { return emu_environment_now().shared; }
