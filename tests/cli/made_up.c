#include "made_up.h"

const char made_up_experiment[] =
    "title: a made-up run\n"
    "seeds: [1, 2]\n"
    "baseline: spans\n"
    "common:\n"
    "  tokenizer: " SAMPLE "/tokenizer.json\n"
    "  model: {name: t5-nano, d_model: 16, d_ff: 32, d_kv: 8, num_heads: 2, num_layers: 1}\n"
    "  batch: {input_tokens: 128, target_tokens: 128}\n"
    "  optimizer: {name: adafactor, learning_rate: 0.01}\n"
    "  train: {steps: 2, log_steps: 1}\n"
    "stages:\n"
    "  pretrain:\n"
    "    kind: pretrain\n"
    "    corpus: corpus.h5\n"
    "    objective: {name: random_spans, inputs_length: 64}\n"
    "  finetune:\n"
    "    kind: finetune\n"
    "    init: $pretrain\n"
    "    tasks: {list: [{name: tsv, as: mood, train: train.tsv, labels: 'good,bad'}]}\n"
    "  evaluate:\n"
    "    kind: evaluate\n"
    "    init: $finetune\n"
    "    evaluate: {split: test, max_length: 4, max_inputs: 32}\n"
    "    tasks: {list: [{name: tsv, as: mood, train: train.tsv, test: test.tsv, labels: "
    "'good,bad', metrics: 'accuracy,f1'}]}\n"
    "rows:\n"
    "  - {name: spans, paper: {P: 1, Q: 2}, set: {pretrain.objective.name: random_spans}}\n"
    "  - {name: prefix, paper: {P: 2}, set: {pretrain.objective.name: prefix_lm}}\n"
    "columns:\n"
    "  - {name: mood, value: evaluate.mood.scores.accuracy, paper: P}\n"
    "  - {name: loss, value: [pretrain.loss, finetune.loss]}\n"
    "scales:\n"
    "  tiny: {columns: [{name: mood, value: evaluate.mood.scores.f1, paper: Q}]}\n";

const char made_up_stage[] =
    "seed: 5\n"
    "tokenizer: " SAMPLE "/tokenizer.json\n"
    "model: {name: t5-nano, d_model: 16, d_ff: 32, d_kv: 8, num_heads: 2, num_layers: 1}\n"
    "batch: {input_tokens: 128, target_tokens: 128}\n"
    "optimizer: {name: adafactor, learning_rate: 0.01}\n"
    "train: {steps: 3, log_steps: 1}\n";

int make_run_files(void **state) {
  char text[4096];
  if (make_folder(state)) return -1;
  write_text("x.yaml", made_up_experiment);
  write_text("train.tsv", "fine day\tgood\nsad day\tbad\n");
  write_text("test.tsv", "fine\tgood\nsad\tbad\n");
  EXPECT(0, cloze("corpus", "--tokenizer", SAMPLE "/tokenizer.json", "--out", "corpus.h5",
                  SAMPLE "/pretrain.txt"));
  snprintf(text, sizeof text,
           "%scorpus: corpus.h5\nobjective: {name: random_spans, inputs_length: 64}\n",
           made_up_stage);
  write_text("pretrain.yaml", text);
  snprintf(
      text, sizeof text,
      "%sinit: base/model\ntasks: {list: [{name: tsv, train: train.tsv, labels: 'good,bad'}]}\n",
      made_up_stage);
  write_text("finetune.yaml", text);
  write_text("evaluate.yaml",
             "seed: 5\ntokenizer: " SAMPLE "/tokenizer.json\ninit: base/model\n"
             "model: {name: t5-nano, d_model: 16, d_ff: 32, d_kv: 8, num_heads: 2, num_layers: 1}\n"
             "tasks: {list: [{name: tsv, train: train.tsv, dev: test.tsv, labels: 'good,bad'}]}\n");
  EXPECT(0, cloze("pretrain", "pretrain.yaml", "--out", "base"));
  return 0;
}

void shell(const char *words) {
  char command[1600];
  snprintf(command, sizeof command, "cd '%s' && %s", folder(), words);
  assert_int_equal(system(command), 0);
}

void expect_content(const char *name, const char *wanted) {
  cz_buf text = {0};
  assert_int_equal(cz_fs_read(under(name), &text), CZ_OK);
  assert_int_equal(cz_buf_add(&text, "", 1), CZ_OK);
  assert_string_equal(text.data, wanted);
  cz_buf_free(&text);
}
