/* Mutated YAML: no crash, no leak (under the address sanitizer), and whatever is still
 * accepted survives being written and read again. */
#include "common/common.h"
#include "base/hash.h"
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const seeds[] = {
    "base: a.yaml\nname: table 4\nmodel: {d_model: 512, layers: [6, 6], tied: true}\nobjective:\n  "
    "name: random_spans\n  noise_density: 0.15 # "
    "share\nrows:\n"
    "  - {name: \"a\", set: {objective.noise_density: 0.5}}\n  - name: 'b'\n    set:\n      x: [1, "
    "2, {y: ~}]\ntext: |\n  lines\n  more\n",
    "a: >-\n  folded\n  text\nb: \"esc \\u00e4 \\n\"\n? c\n: 1\nd: [[1, 2], [], {}]\n\"e f\": "
    "-1.5e-3\n...\n",
    "scales:\n  nano: {steps: 10}\n  mini:\n    steps: 100\n    list:\n    - 1\n    - 2\nx: "
    "\xC3\xA4\xE2\x82\xAC\n",
};
static const char *const pieces[] = {
    "[",    "]",    "{",    "}",  ": ", "\n", "  ",           "- ",    "&a ",   "*a",
    "!!x ", "|",    ">",    "'",  "\"", "#",  "%YAML 1.2\n",  "---\n", "...\n", "\t",
    "? ",   "\xFF", "\xC3", "\\", ",",  "\r", "\xEF\xBB\xBF", "~",     "<<: ",  "\xE2\x80\xA8"};

static uint64_t state_of_draws;
static uint32_t draw(uint32_t n) {
  state_of_draws = state_of_draws * 6364136223846793005ULL + 1442695040888963407ULL;
  return (uint32_t)(state_of_draws >> 33) % n;
}

static size_t mutate(char *text, size_t n) {
  for (uint32_t k = 1 + draw(4); k; k--) {
    size_t at = draw((uint32_t)n + 1), m = n - at;
    const char *piece = pieces[draw(sizeof pieces / sizeof *pieces)];
    switch (draw(5)) {
    case 0:
      if (m) text[at] = (char)draw(256);
      break;
    case 1:
      memmove(text + at + strlen(piece), text + at, m);
      memcpy(text + at, piece, strlen(piece));
      n += strlen(piece);
      break;
    case 2: {
      size_t cut = draw(8);
      cut = cut < m ? cut : m;
      memmove(text + at, text + at + cut, m - cut);
      n -= cut;
      break;
    }
    case 3: n = draw(20) ? n : at; break;
    default: {
      size_t len = draw(24);
      len = len < m ? len : m;
      memmove(text + n, text + at, len);
      n += len;
      break;
    }
    }
  }
  return n;
}

static void check_accepted(const cz_config *c) {
  cz_buf out = {0}, a = {0}, b = {0};
  cz_config *again = NULL;
  assert_int_equal(cz_config_emit(&out, cz_config_root(c)), CZ_OK);
  assert_int_equal(cz_config_canonical(&a, cz_config_root(c)), CZ_OK);
  if (cz_config_parse(&again, "again", out.data, out.len) != CZ_OK)
    fail_msg("not readable again: %s\n%s", cz_error_message(), out.data);
  assert_int_equal(cz_config_canonical(&b, cz_config_root(again)), CZ_OK);
  assert_string_equal(a.data, b.data);
  cz_buf_free(&out), cz_buf_free(&a), cz_buf_free(&b);
  cz_config_destroy(&again);
}

static void test_mutations(void **state) {
  const uint64_t seed = test_seed();
  state_of_draws = cz_hash64(&seed, sizeof seed, 0);
  int accepted = 0;
  for (int i = 0; i < 3000; i++) {
    char text[2048];
    size_t n = strlen(seeds[i % 3]);
    memcpy(text, seeds[i % 3], n);
    n = mutate(text, n);
    cz_config *c = NULL;
    if (cz_config_parse(&c, "fuzz.yaml", text, n) == CZ_OK) {
      accepted++;
      check_accepted(c);
      if (cz_config_set(c, i & 1 ? "model.d_model=[1, {a: 2}]" : "rows.0.set=3") == CZ_OK)
        check_accepted(c);
    } else {
      assert_non_null(strstr(cz_error_message(), "fuzz.yaml:"));
    }
    cz_config_destroy(&c);
  }
  print_message("%d of 3000 accepted\n", accepted);
  assert_in_range(accepted, 100, 2900);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutations)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
