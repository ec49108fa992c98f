/* Stands in for libFuzzer where the compiler has none: `fuzz_NAME SEED...`, each a file or
 * a folder of files. */
#include "base/fs.h"
#include "base/clock.h"
#include "base/hash.h"
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAX_SEEDS = 256, MAX_BYTES = 1 << 20, SLOW_SECONDS = 20 };

static cz_buf seeds[MAX_SEEDS];
static size_t n_seeds;
static uint8_t input[MAX_BYTES];
static volatile size_t input_bytes;
static char crash_name[512] = "crash";
static uint64_t seed, drawn;

static size_t draw(size_t below) {
  drawn++;
  return below ? (size_t)(cz_hash64(&drawn, sizeof drawn, seed) % below) : 0;
}

/* Leaves the input that killed the program; only calls that a signal handler may make. */
static void save_input(int number) {
  int fd = open(crash_name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0 && write(fd, input, input_bytes) < 0) fd = -1;
  signal(number, SIG_DFL);
  raise(number == SIGALRM ? SIGABRT : number);
}

static void try_input(void) {
  alarm(SLOW_SECONDS);
  LLVMFuzzerTestOneInput(input, input_bytes);
  alarm(0);
}

static void add_seed(const char *path) {
  DIR *folder = opendir(path);
  if (!folder) {
    if (n_seeds == MAX_SEEDS) return;
    if (cz_fs_read(path, &seeds[n_seeds]) == CZ_OK) {
      if (seeds[n_seeds].len > MAX_BYTES) seeds[n_seeds].len = MAX_BYTES;
      n_seeds++;
      return;
    }
    fprintf(stderr, "%s\n", cz_error_message());
    exit(1);
  }
  for (const struct dirent *e; (e = readdir(folder));) {
    char name[4096];
    if (e->d_name[0] == '.' || cz_fs_join(name, sizeof name, path, e->d_name) != CZ_OK) continue;
    if (!cz_fs_is_dir(name)) add_seed(name);
  }
  closedir(folder);
}

/* A run of bytes of any seed, into INPUT at AT. */
static void splice(size_t at, size_t n) {
  const cz_buf *from = &seeds[draw(n_seeds)];
  size_t k = draw(n < from->len ? n : from->len);
  if (k > MAX_BYTES - at) k = MAX_BYTES - at;
  if (!from->len) return; /* a seed without a byte */
  memcpy(input + at, from->data + draw(from->len - k + 1), k);
  if (at + k > input_bytes) input_bytes = at + k;
}

static void mutate(void) {
  static const uint64_t edges[] = {0,          1,          0x7f,       0x80,
                                   0xff,       0xffff,     0x7fffffff, 0x80000000,
                                   0xffffffff, 1ULL << 32, 1ULL << 45, UINT64_MAX};
  static const char marks[] = "{}[]\",:0-9eE\\ \n\t\r'#&*|>~";
  size_t n = input_bytes, at = draw(n), k = draw(32);
  switch (draw(8)) {
  case 0:
    if (n) input[at] ^= (uint8_t)(1u << draw(8));
    return;
  case 1:
    if (n) input[at] = (uint8_t)draw(256);
    return;
  case 2:
    if (n) input[at] = (uint8_t)marks[draw(sizeof marks - 1)];
    return;
  case 3: input_bytes = draw(4) ? n : at; return;
  case 4: /* cut */
    if (at + k <= n) memmove(input + at, input + at + k, n - at - k), input_bytes = n - k;
    return;
  case 5: /* repeat */
    if (at + k <= n && n + k <= MAX_BYTES)
      memmove(input + at + k, input + at, n - at), input_bytes = n + k;
    return;
  case 6: splice(at, 64); return;
  default:
    k = (size_t)1 << draw(4);
    if (at + k <= n) memcpy(input + at, &edges[draw(sizeof edges / sizeof *edges)], k);
  }
}

static void begin(const char *program) {
  const char *name = strrchr(program, '/'), *text = getenv("CZ_TEST_SEED");
  const struct rlimit memory = {4ULL << 30, 4ULL << 30};
  snprintf(crash_name, sizeof crash_name, "crash-%s", name ? name + 1 : program);
  seed = text ? strtoull(text, NULL, 10) : (uint64_t)(cz_seconds() * 1e6);
#ifndef CZ_SANITIZED /* which reserve terabytes of addresses */
  setrlimit(RLIMIT_AS, &memory);
#else
  (void)memory;
#endif
  static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM};
  for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) signal(fatal[i], save_input);
}

int main(int argc, char **argv) {
  const char *text = getenv("CZ_FUZZ_SECONDS");
  double seconds = text ? strtod(text, NULL) : 2, until;
  size_t rounds = 0;
  begin(argv[0]);
  for (int i = 1; i < argc; i++) add_seed(argv[i]);
  for (size_t i = 0; i < n_seeds; i++) {
    memcpy(input, seeds[i].data ? seeds[i].data : "", input_bytes = seeds[i].len);
    try_input();
  }
  if (!n_seeds) n_seeds = 1; /* an empty one */
  printf("CZ_TEST_SEED=%llu, %zu seeds\n", (unsigned long long)seed, n_seeds);
  fflush(stdout);
  for (until = cz_seconds() + seconds; cz_seconds() < until; rounds++) {
    const cz_buf *from = &seeds[draw(n_seeds)];
    if (from->len) memcpy(input, from->data, from->len);
    input_bytes = from->len;
    for (size_t k = 1 + draw(4); k; k--) mutate();
    try_input();
  }
  printf("%zu mutated inputs\n", rounds);
  for (size_t i = 0; i < n_seeds; i++) cz_buf_free(&seeds[i]);
  return 0;
}
