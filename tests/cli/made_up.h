/* What the tests of mistakes and of folders share: a made-up experiment and its stages,
 * small enough to run whole in a moment. */
#ifndef CZ_TESTS_CLI_MADE_UP_H
#define CZ_TESTS_CLI_MADE_UP_H

#include "program.h"

/* Two seeds, two rows, each a pretraining, a fine-tuning and an evaluation; and the keys
 * of a stage by itself. */
extern const char made_up_experiment[], made_up_stage[];

/** Makes the scratch folder with x.yaml (the experiment), pretrain.yaml, finetune.yaml
 * and evaluate.yaml, their data, and a pretrained `base`. */
int make_run_files(void **state);

/** Runs WORDS in the scratch folder; they must succeed. */
void shell(const char *words);

/** The file holds WANTED and nothing else. */
void expect_content(const char *name, const char *wanted);

#endif
