/* The keys of an experiment file: what is refused, and what `cloze help keys` prints,
 * comes from these tables. */
#include "experiment/experiment.h"
#include "stages/held_out.h"
#include "stages/train.h"

#include <math.h>

#define TEXT(name, must, help)                                                                     \
  { name, CZ_KEY_TEXT, 0, must, 0, 0, NULL, NULL, help }
#define TREE(name, must, what, help)                                                               \
  { name, CZ_KEY_TREE, 0, must, 0, 0, (const char *const[]){what}, NULL, help }

static const cz_key_spec experiment_keys[] = {
    TEXT("title", "", "what it is"),
    TEXT("source", "", "where rows and the paper's values come from"),
    TREE("notes", "", "text or list", "anything; not read"),
    TEXT("data", "", "the folder that $data/ stands for in paths"),
    TEXT("data_made_by", "",
         "the command that makes this folder, for the message when a file of it is missing; a "
         "scale that replaces data replaces this too"),
    TREE("seeds", NULL, "list of integers",
         "each is one draw: every row starts from the same weights and reads the same data in the "
         "same order"),
    TREE("common", "", "mapping",
         "sections and keys for every stage whose kind knows them; a stage's own keys win"),
    TREE("stages", NULL, "mapping of stages", "run in this order; the keys of a stage are below"),
    TREE("rows", NULL, "list of rows", "the lines of the table"),
    TEXT("baseline", "", "name of the row that the others are compared with"),
    TREE("columns", NULL, "list of columns", "the values of the table"),
    TREE("paper_noise", "", "mapping of numbers",
         "the paper's deviation over its own seeds, by the names in `paper`"),
    TREE("scales", "", "mapping",
         "overlays on all of the above, one for each name that --scale can have"),
    TEXT("scale", "", "the overlay that is taken without --scale"),
    TREE("base", "", "file, or list of files",
         "experiment files that this one is laid over, relative to it"),
};
const cz_section cz_experiment_keys =
    CZ_SECTION("experiment", "An experiment file, for cloze run and show.", experiment_keys);

static const cz_key_spec row_keys[] = {
    TEXT("name", NULL, "what the table calls it"),
    TREE("set", "", "mapping",
         "keys of stages that this row replaces, `STAGE.section.key: value`, e.g. "
         "pretrain.objective.name: lm"),
    TREE("paper", "", "mapping of numbers", "the paper's values, by names that columns refer to"),
    TEXT("note", "", "anything; not read"),
};
const cz_section cz_row_keys = CZ_SECTION("row", "An item of an experiment's `rows`.", row_keys);

static const cz_key_spec column_keys[] = {
    TEXT("name", NULL, "what the table calls it"),
    TREE("value", NULL, "text, or list of texts",
         "place of the value in a stage's result, or a list of places: their mean. "
         "STAGE.TASK.scores.SCORE of a stage that evaluates (TASK is the "
         "task's name or its `as`, which has no point or slash; scores are listed below; "
         "baseline.SCORE is what a program that knows nothing gets), "
         "STAGE.VALUE of one that trains (its values are listed below these keys)"),
    TEXT("paper", "", "which of the paper's values stands beside it"),
    TEXT("unit", "", "of the value, for the table's head"),
    TEXT("note", "", "what the column says, for the report"),
};
const cz_section cz_column_keys =
    CZ_SECTION("column", "An item of an experiment's `columns`.", column_keys);

static cz_status add_values(cz_buf *out, const char *what, const char *const *names,
                            bool markdown) {
  CZ_TRY(cz_buf_addf(out, markdown ? "%s:" : "  %s:", what));
  for (; *names; names++) CZ_TRY(cz_buf_addf(out, markdown ? " `%s`" : " %s", *names));
  return cz_buf_addf(out, markdown ? "\n\n" : "\n");
}

/** Appends the help of the keys of an experiment file, and the values that training
 * stages leave; MARKDOWN for documents. */
cz_status cz_experiment_help(cz_buf *out, bool markdown) {
  const cz_section *const sections[] = {&cz_experiment_keys, &cz_row_keys, &cz_column_keys};
  for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
    CZ_TRY(markdown ? cz_config_markdown(out, sections[i]) : cz_config_help(out, sections[i]));
  CZ_TRY(add_values(out, "values of a stage that trains", cz_train_results, markdown));
  return add_values(out, "values of one with a section held_out, besides", cz_held_out_results,
                    markdown);
}
