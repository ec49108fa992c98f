/* What the tests of the few-shot room share: a folder with tiny pretrained models, made-up texts of
 * three labels, and the configurations of all stages. */
#ifndef CZ_TESTS_FEW_SHOT_TEST_H
#define CZ_TESTS_FEW_SHOT_TEST_H

#include "../train/train_test.h"
#include "example_keys.h"

#include <jansson.h>

#define FEW_SHOT_TOKENIZER CZ_SOURCE_DIR "/tests/fixtures/prompts/bert.json"

/* Texts of made-up files. */
enum { TRAIN_TEXTS = 60, POOL_TEXTS = 90, TEST_TEXTS = 30 };

int make_few_shot(void **state);
void make_model(const char *name, const char *family, bool masked_lm);
void make_model_with(const char *name, const char *family, bool masked_lm, int64_t words,
                     const char *tokenizer);
void make_texts(const char *name, int lines, uint32_t part, bool labels);
void forget(const char *run);
json_t *run_metrics(const char *run);
void same_updates(const char *folder, const json_t *want);

#endif
