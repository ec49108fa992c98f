/* The communicator, alone and under mpirun: collectives, groups, the rule about
 * shards; and, by the first argument, a rank that aborts and a size that Slurm does
 * not expect. */
#include "comm_test.h"

#include "base/number.h"
#include "device/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

cz_comm *world;
uint64_t seed;

static void test_scalars(void **state) {
  int n = world->size;
  double v[3] = {world->rank + 1, -7, INFINITY};
  CHECK(cz_comm_sum_f64(world, v, 2) == CZ_OK);
  CHECK(v[0] == n * (n + 1) / 2 && v[1] == -7 * n && v[2] == INFINITY);
  int64_t m[2] = {-world->rank - 5, world->rank == n / 2 ? 99 : INT64_MIN};
  CHECK(cz_comm_max_i64(world, m, 2) == CZ_OK && m[0] == -5 && m[1] == 99);
  double wild[4] = {1e16, 1.0, -1e16, 3.0},
         x = wild[world->rank % 4]; /* any other order of additions gives other sums */
  double expected = n == 1   ? 1e16
                    : n == 2 ? 1e16 + 1.0
                    : n == 3 ? (1e16 + 1.0) + -1e16
                             : (1e16 + 1.0) + (-1e16 + 3.0);
  CHECK(cz_comm_sum_f64(world, &x, 1) == CZ_OK && (n > 4 || x == expected));
  CHECK(cz_comm_sum_f64(world, NULL, 0) == CZ_OK && cz_comm_barrier(world) == CZ_OK);
}

/* A rank that is to stop takes the others with it, and another failure waits for nobody. */
static void test_agree(void **state) {
  CHECK(cz_comm_agree(world, CZ_OK) == CZ_OK);
  for (int r = 0; r < world->size; r++) {
    bool stops = world->rank == r;
    cz_status st = stops ? CZ_FAIL(CZ_EINTERRUPT, "rank %d stops", r) : CZ_OK;
    CHECK(cz_comm_agree(world, st) == CZ_EINTERRUPT);
    CHECK(!strncmp(cz_error_message(), "rank ", 5) == stops);
  }
  if (world->rank == 0) CHECK(cz_comm_agree(world, CZ_FAIL(CZ_EIO, "alone")) == CZ_EIO);
  CHECK(cz_comm_agree(world, CZ_OK) == CZ_OK);
}

/* Each rank's bytes, rank by rank, on all ranks. */
static void test_gather(void **state) {
  char mine[16], expected[16], *all;
  snprintf(mine, sizeof mine, "rank %d", world->rank);
  memset(mine + strlen(mine), 0, sizeof mine - strlen(mine));
  CHECK(cz_comm_gather(world, &all, mine, sizeof mine) == CZ_OK);
  for (int r = 0; r < world->size; r++) {
    snprintf(expected, sizeof expected, "rank %d", r);
    CHECK(!strcmp(all + (size_t)r * sizeof mine, expected));
  }
  free(all);
}

static void test_bytes(void **state) {
  enum { N = 300000 };
  unsigned char *bytes = malloc(N);
  size_t *bounds = calloc((size_t)world->size + 1, sizeof *bounds);
  for (int root = 0; root < world->size; root++) { /* one rank brings everything */
    for (int r = 0; r <= world->size; r++) bounds[r] = r > root ? N : 0;
    for (int i = 0; i < N; i++) bytes[i] = (unsigned char)(world->rank == root ? i * 7 + root : 0);
    CHECK(cz_comm_allgather(world, bytes, bounds) == CZ_OK);
    for (int i = 0; i < N; i++) CHECK(bytes[i] == (unsigned char)(i * 7 + root));
  }
  bounds[0] = 0;
  for (int r = 0; r < world->size; r++)
    bounds[r + 1] = bounds[r] + (size_t)(r * 1000); /* rank 0 brings nothing */
  memset(bytes, 0, N);
  for (size_t i = bounds[world->rank]; i < bounds[world->rank + 1]; i++)
    bytes[i] = (unsigned char)(i * 3 + 1);
  CHECK(cz_comm_allgather(world, bytes, bounds) == CZ_OK);
  for (size_t i = 0; i < bounds[world->size]; i++) CHECK(bytes[i] == (unsigned char)(i * 3 + 1));
  free(bounds);
  free(bytes);
}

static void test_groups(void **state) {
  cz_comm *group;
  CHECK(cz_comm_split(world, &group, world->rank % 2) == CZ_OK);
  CHECK(group->rank == world->rank / 2 && group->size == (world->size + 1 - world->rank % 2) / 2);
  double sum = world->rank, expected = 0;
  for (int r = world->rank % 2; r < world->size; r += 2) expected += r;
  CHECK(cz_comm_sum_f64(group, &sum, 1) == CZ_OK && sum == expected);
  cz_comm *pair;
  CHECK(cz_comm_split(group, &pair, group->rank) == CZ_OK && pair->size == 1 &&
        pair->rank == 0); /* a group of a group */
  cz_comm_close(&pair);
  cz_comm_close(&group);
  CHECK(!group);
}

static void test_shard_rule(void **state) {
  cz_comm four = {.rank = 2, .size = 4}, three = {.rank = 1, .size = 3},
          one = {.rank = 0, .size = 1};
  int64_t first, count;
  CHECK(cz_comm_shards(&four, &first, &count, 8) == CZ_OK && first == 4 && count == 2);
  CHECK(cz_comm_shards(&three, &first, &count, 6) == CZ_OK && first == 2 && count == 2);
  CHECK(cz_comm_shards(&one, &first, &count, 7) == CZ_OK && first == 0 && count == 7);
  CHECK(cz_comm_shards(&four, &first, &count, 6) == CZ_EUSAGE &&
        strstr(cz_error_message(), "6 shards"));
  CHECK(cz_comm_shards(&four, &first, &count, 12) == CZ_EUSAGE &&
        strstr(cz_error_message(), "not a power of two"));
  CHECK(cz_comm_shards(&four, &first, &count, 2) == CZ_EUSAGE &&
        cz_comm_shards(&one, &first, &count, 0) == CZ_EUSAGE);
}

static void test_opening(void **state) {
  cz_comm *c = NULL;
  CHECK(cz_comm_open(&c, "pigeons") == CZ_EUSAGE && strstr(cz_error_message(), "pigeons"));
  CHECK(cz_comm_open(&c, "self") == CZ_OK && c->size == 1 && c->rank == 0 && !c->backend);
  cz_comm_abort(c, 3); /* alone: main exits, not the library */
  cz_comm_close(&c);
  cz_comm_close(&c);
  if (world->backend) return;
  setenv("SLURM_NTASKS", "4", 1); /* what a plain start inside an allocation of four tasks sees */
  CHECK(cz_comm_open(&c, "auto") == CZ_EUSAGE && strstr(cz_error_message(), "SLURM_NTASKS is 4") &&
        !c);
  unsetenv("SLURM_NTASKS");
#ifndef CZ_HAVE_MPI
  CHECK(cz_comm_open(&c, "mpi") == CZ_EUSAGE && strstr(cz_error_message(), "without it"));
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  CHECK(cz_comm_open(&c, "auto") == CZ_EUSAGE && strstr(cz_error_message(), "without it"));
  unsetenv("OMPI_COMM_WORLD_SIZE");
#endif
}

/* One rank fails while the others wait for it: the job ends with its code. */
static int run_abort(void) {
  if (cz_comm_open(&world, "auto") != CZ_OK || world->size < 2)
    return 0; /* the expected output does not appear */
  if (world->rank == 1) cz_comm_abort(world, 7);
  if (cz_comm_barrier(world) == CZ_OK) puts("outlived its peer");
  sleep(60);
  puts("outlived the abort");
  return 0;
}

static int run_slurm(void) {
  cz_status st = cz_comm_open(&world, "auto");
  bool good =
      st == CZ_EUSAGE && !world && strstr(cz_error_message(), "SLURM_NTASKS is 5 but 2 processes");
  if (!good) printf("wrong answer: %s\n", cz_error_message());
  return good ? 0 : 1;
}

static cz_status choose_seed(void) {
  const char *text = getenv("CZ_TEST_SEED");
  int64_t given = (int64_t)time(NULL);
  if (text) CZ_TRY(cz_parse_int(text, &given));
  if (world->rank != 0) given = INT64_MIN;
  CZ_TRY(cz_comm_max_i64(world, &given, 1)); /* rank 0's */
  seed = (uint64_t)given;
  if (world->rank == 0)
    printf("CZ_TEST_SEED=%llu, %d ranks\n", (unsigned long long)seed, world->size);
  return CZ_OK;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "abort") == 0) return run_abort();
  if (argc > 1 && strcmp(argv[1], "slurm") == 0) return run_slurm();
  bool launched = getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMI_SIZE");
  if (cz_comm_open(&world, "auto") != CZ_OK || choose_seed() != CZ_OK) {
    fprintf(stderr, "%s\n", cz_error_message());
    return 1;
  }
  if (!launched && world->backend) {
    fprintf(stderr, "a plain start opens MPI\n");
    return 1;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_scalars),
                                     cmocka_unit_test(test_bytes),
                                     cmocka_unit_test(test_agree),
                                     cmocka_unit_test(test_gather),
                                     cmocka_unit_test(test_groups),
                                     cmocka_unit_test(test_shard_rule),
                                     cmocka_unit_test(test_opening),
                                     cmocka_unit_test(test_tree_order),
                                     cmocka_unit_test(test_sums_exact),
                                     cmocka_unit_test(test_misuse),
                                     cmocka_unit_test(test_sums_equal_the_serial_tree),
                                     cmocka_unit_test(test_shards_do_not_see_ranks)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  if (failed) cz_comm_abort(world, 1);
  cz_comm_close(&world);
  return failed;
}
