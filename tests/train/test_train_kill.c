/* kill -9 at twenty instants, some in a stage of each kind (the script sees to it), by
 * the script that does it by hand as well. */
#include "train_test.h"

#include <sys/wait.h>

static void killed(void **state) {
  const char *kills = getenv("CZ_TEST_KILLS"); /* more by hand */
  char command[2048];
  snprintf(command, sizeof command, "OMP_NUM_THREADS=1 SEED=%llu CLOZE=%s OUT=%s %s %s %s",
           (unsigned long long)test_seed() % 30000 + 1, CZ_BINARY_DIR "/bin/cloze", folder(),
           CZ_SOURCE_DIR "/scripts/kill_test.sh", kills ? kills : "20", under("experiment.yaml"));
  fflush(stdout);
  int status = system(command);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(killed)};
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}
