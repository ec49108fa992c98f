#include "setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* T5's: pad 0, EOS 1, unknown 2, sentinel k at 32099 - k. */
void t5_vocabulary(cz_vocabulary *v, int32_t sentinels) {
  *v = (cz_vocabulary){.size = T5_SIZE,
                       .pad = 0,
                       .eos = T5_EOS,
                       .unk = 2,
                       .cls = -1,
                       .sep = -1,
                       .mask = -1,
                       .n_sentinels = sentinels};
  for (int32_t k = 0; k < sentinels; k++) v->sentinels[k] = T5_SENTINEL - k;
}

/* What the row's key table gives when nothing is said. */
cz_objective_config default_config(const char *name) {
  const cz_objective_row *row;
  cz_objective_config config = {0};
  cz_config *empty;
  OK(cz_objective_find(&row, name));
  OK(cz_config_from_words(&empty, NULL, 0));
  OK(cz_config_bind(cz_config_root(empty), &row->section, &config, NULL));
  cz_config_destroy(&empty);
  config.seed = test_seed();
  return config;
}

cz_objective make_objective(const char *name, cz_objective_config config, int32_t sentinels) {
  const cz_objective_row *row;
  cz_vocabulary v;
  cz_objective o;
  t5_vocabulary(&v, sentinels);
  OK(cz_objective_find(&row, name));
  OK(cz_objective_init(&o, row, &config, &v));
  return o;
}

/* Ordinary tokens, 3 to 31,999. */
void fill_piece(int32_t *ids, int64_t n, cz_stream *s) {
  for (int64_t i = 0; i < n; i++) ids[i] = 3 + (int32_t)cz_stream_below(s, 31997);
}

void free_example(cz_example *e) { cz_example_free(e); }

void assert_ids(const cz_ids *found, const int32_t *expected, size_t n) {
  for (size_t i = 0; i < n && i < found->len; i++)
    if (found->data[i] != expected[i])
      fail_msg("place %zu: found %d, expected %d", i, found->data[i], expected[i]);
  assert_int_equal(found->len, n);
}
