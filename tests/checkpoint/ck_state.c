#include "ck_test.h"

#include <stdlib.h>

enum { ROWS = 700, COLUMNS = 401 }; /* over 1 MiB: several chunks */

static float value(int64_t step, int64_t i) { return (float)(step * 1000003 + i * 7919 % 100000); }

static cz_status put_all(cz_checkpoint_writer *w, int64_t step) {
  static float weights[ROWS * COLUMNS];
  const int64_t dims[2] = {ROWS, COLUMNS}, none[3] = {4, 0, 2}, three = 3;
  double moments[3] = {(double)step, -0.0, 1e300 / (double)(step + 1)};
  int32_t order[3] = {-1, (int32_t)step, INT32_MIN};
  uint64_t counters[3] = {UINT64_MAX, (uint64_t)step, 0};
  char text[64];
  int64_t letters;
  for (int64_t i = 0; i < ROWS * COLUMNS; i++) weights[i] = value(step, i);
  letters = snprintf(text, sizeof text, "cursor of step %lld", (long long)step);
  CZ_TRY(cz_checkpoint_put(w, "param/encoder.block.0.weight", CZ_CHECKPOINT_F32, weights, dims, 2));
  CZ_TRY(cz_checkpoint_put(w, "param/none", CZ_CHECKPOINT_F32, NULL, none, 3));
  CZ_TRY(cz_checkpoint_put(w, "optimizer/moments", CZ_CHECKPOINT_F64, moments, &three, 1));
  CZ_TRY(cz_checkpoint_put(w, "order", CZ_CHECKPOINT_I32, order, &three, 1));
  CZ_TRY(cz_checkpoint_put(w, "counters", CZ_CHECKPOINT_U64, counters, &three, 1));
  CZ_TRY(cz_checkpoint_put_real(w, "loss", 1.0 / (double)(step + 3)));
  CZ_TRY(cz_checkpoint_put(w, "cursor", CZ_CHECKPOINT_BYTES, text, &letters, 1));
  return cz_checkpoint_put_int(w, "step", step);
}

cz_status save_state(const char *folder, int64_t step) {
  cz_checkpoint_writer *w;
  CZ_TRY(cz_checkpoint_begin(&w, folder, 77, sizeof(float) * ROWS * COLUMNS));
  cz_status st = put_all(w, step);
  if (st == CZ_OK) return cz_checkpoint_commit(&w);
  cz_checkpoint_discard(&w);
  return st;
}

cz_status load_state(cz_checkpoint *c, int64_t *step) {
  static float weights[ROWS * COLUMNS];
  const int64_t dims[2] = {ROWS, COLUMNS}, none[3] = {4, 0, 2}, three = 3;
  double moments[3], loss;
  int32_t order[3];
  uint64_t counters[3];
  char text[64] = "", want[64];
  CZ_TRY(cz_checkpoint_get_int(c, step, "step"));
  CZ_TRY(cz_checkpoint_get(c, weights, "param/encoder.block.0.weight", CZ_CHECKPOINT_F32, dims, 2));
  CZ_TRY(cz_checkpoint_get(c, NULL, "param/none", CZ_CHECKPOINT_F32, none, 3));
  CZ_TRY(cz_checkpoint_get(c, moments, "optimizer/moments", CZ_CHECKPOINT_F64, &three, 1));
  CZ_TRY(cz_checkpoint_get(c, order, "order", CZ_CHECKPOINT_I32, &three, 1));
  CZ_TRY(cz_checkpoint_get(c, counters, "counters", CZ_CHECKPOINT_U64, &three, 1));
  CZ_TRY(cz_checkpoint_get_real(c, &loss, "loss"));
  int64_t letters = snprintf(want, sizeof want, "cursor of step %lld", (long long)*step);
  CZ_TRY(cz_checkpoint_get(c, text, "cursor", CZ_CHECKPOINT_BYTES, &letters, 1));
  for (int64_t i = 0; i < ROWS * COLUMNS; i++) assert_true(weights[i] == value(*step, i));
  double expected[3] = {(double)*step, -0.0, 1e300 / (double)(*step + 1)};
  assert_memory_equal(moments, expected, sizeof moments);
  assert_true(order[0] == -1 && order[1] == (int32_t)*step && order[2] == INT32_MIN);
  assert_true(counters[0] == UINT64_MAX && counters[1] == (uint64_t)*step && counters[2] == 0);
  assert_true(loss == 1.0 / (double)(*step + 3));
  assert_string_equal(text, want);
  return cz_checkpoint_check_config(c, 77);
}
