/* The keys of an experiment file: what is refused, and what `cloze help keys` prints,
 * comes from these tables. */
#include "experiment/experiment.h"

static const cz_key_spec experiment_keys[] = {
    CZ_KEY_OTHER("title", TEXT, .fallback = "", .help = "what it is"),
    CZ_KEY_OTHER("source", TEXT, .fallback = "",
                 .help = "where rows and the paper's values come from"),
    CZ_KEY_OTHER("notes", TREE, .fallback = "", .holds = "text or list",
                 .help = "anything; not read"),
    CZ_KEY_OTHER("data", TEXT, .fallback = "",
                 .help = "the folder that $data/ stands for in paths"),
    CZ_KEY_OTHER(
        "data_made_by", TEXT, .fallback = "",
        .help =
            "the command that makes this folder, for the message when a file of it is missing; a "
            "scale that replaces data replaces this too"),
    CZ_KEY_OTHER("seeds", TREE, .holds = "list of integers",
                 .help = "each is one draw: every row begins with the same weights and goes "
                         "through the same order of documents; objectives read different amounts"),
    CZ_KEY_OTHER(
        "common", TREE, .fallback = "", .holds = "mapping",
        .help = "sections and keys for every stage whose kind knows them; a stage's own keys win"),
    CZ_KEY_OTHER("stages", TREE, .holds = "mapping of stages",
                 .help = "run in this order; the keys of a stage are below; STAGE: null drops one "
                         "of the base's"),
    CZ_KEY_OTHER("rows", TREE, .holds = "list of rows", .help = "the lines of the table"),
    CZ_KEY_OTHER("control", TREE, .fallback = "", .holds = "a row",
                 .help = "a row behind `rows`, against which all others are seen first: what is "
                         "left without what they do, e.g. {name: no_pretraining, without: "
                         "[pretrain], set: {finetune.init: ''}}; control= has none"),
    CZ_KEY_OTHER("axis", TREE, .fallback = "", .holds = "mapping",
                 .help = "a second axis: every row once for each value of one key"),
    CZ_KEY_OTHER("baseline", TEXT, .fallback = "",
                 .help = "name of the row that the others are compared with"),
    CZ_KEY_OTHER("contrasts", TREE, .fallback = "", .holds = "list of pairs of rows",
                 .help = "[ROW, OTHER]: the difference is tested at each value of the axis, paired "
                         "over seeds and test examples, corrected for all tests of a column"),
    CZ_KEY_OTHER("columns", TREE, .holds = "list of columns", .help = "the values of the table"),
    CZ_KEY_OTHER("paper_noise", TREE, .fallback = "", .holds = "mapping of numbers",
                 .help = "the paper's deviation over its own seeds, by the names in `paper`"),
    CZ_KEY_OTHER("scales", TREE, .fallback = "", .holds = "mapping",
                 .help = "overlays on all of the above, one for each name that --scale can have"),
    CZ_KEY_OTHER("scale", TEXT, .fallback = "",
                 .help = "the overlay that is taken without --scale"),
    CZ_KEY_OTHER("base", TREE, .fallback = "", .holds = "file, or list of files",
                 .help = "experiment files that this one is laid over, relative to it"),
};
const cz_section cz_experiment_keys =
    CZ_SECTION("experiment", "An experiment file, for cloze run and show.", experiment_keys);

static const cz_key_spec row_keys[] = {
    CZ_KEY_OTHER("name", TEXT, .help = "what the table calls it"),
    CZ_KEY_OTHER("set", TREE, .fallback = "", .holds = "mapping",
                 .help = "keys of stages that this row replaces, `STAGE.section.key: value`, e.g. "
                         "pretrain.objective.name: lm"),
    CZ_KEY_OTHER("without", TREE, .fallback = "", .holds = "list of stages",
                 .help = "stages that do not run for this row; one that would start from them "
                         "starts from elsewhere, e.g. set: {finetune.init: ''}, which draws its "
                         "weights from the seed"),
    CZ_KEY_OTHER("only", TREE, .fallback = "", .holds = "list of stages",
                 .help = "the stages that run for this row, instead of `without` all others"),
    CZ_KEY_OTHER("at", TREE, .fallback = "", .holds = "list",
                 .help = "the values of the axis at which the row stands, without it all; rows of "
                         "one name stand at other values each, with settings of their own"),
    CZ_KEY_OTHER("seeds", TREE, .fallback = "", .holds = "number, or mapping of numbers",
                 .help =
                     "how many of the file's seeds the row has, the first ones, without it all; "
                     "or a mapping by the values of the axis, e.g. {10: 5, 100: 5}"),
    CZ_KEY_OTHER("paper", TREE, .fallback = "", .holds = "mapping of numbers",
                 .help = "the paper's values, by names that columns refer to; or a mapping by the "
                         "values of the axis, e.g. {accuracy: {10: 60.0, 50: 79.5}}"),
    CZ_KEY_OTHER("note", TEXT, .fallback = "", .help = "anything; not read"),
};
const cz_section cz_row_keys = CZ_SECTION("row", "An item of an experiment's `rows`.", row_keys);

static const cz_key_spec axis_keys[] = {
    CZ_KEY_OTHER("name", TEXT, .help = "what reports call it, e.g. budget"),
    CZ_KEY_OTHER("set", TREE, .holds = "text, or list of texts",
                 .help = "the key that takes the values, STAGE.section.key, or a list of them; "
                         "common.section.key is of every stage whose kind takes that section and "
                         "that does not set the key itself; with STAGE.train.steps alone and a "
                         "rate that is constant or rsqrt a value goes on from the one before"),
    CZ_KEY_OTHER("values", TREE, .holds = "list",
                 .help = "a row of this name and each of them, ROW@VALUE; steps must rise"),
};
const cz_section cz_axis_keys = CZ_SECTION("axis", "An experiment's `axis`.", axis_keys);

static const cz_key_spec column_keys[] = {
    CZ_KEY_OTHER("name", TEXT, .help = "what the table calls it"),
    CZ_KEY_OTHER(
        "value", TREE, .holds = "text, or list of texts",
        .help = "place of the value in a stage's result, or a list of places: their mean. "
                "STAGE.TASK.scores.SCORE of a stage that evaluates (TASK is the "
                "task's name or its `as`, which has no point or slash; scores are listed below; "
                "baseline.SCORE is what a program that knows nothing gets, keyword.SCORE and "
                "naive_bayes.SCORE what looking for the label in the text and counting words get), "
                "STAGE.VALUE of one that trains (its values are listed below these keys)"),
    CZ_KEY_OTHER(
        "take", ENUM, .fallback = "", .choices = cz_take_names,
        .help = "what of a list in the result that a place leads through, as "
                "pet.members.accuracy does (members[].accuracy in the list below); spread is the "
                "largest minus the smallest. first: of "
                "several values, that of the first stage that the row has"),
    CZ_KEY_OTHER("paper", TEXT, .fallback = "",
                 .help = "which of the paper's values stands beside it"),
    CZ_KEY_OTHER("unit", TEXT, .fallback = "", .help = "of the value, for the table's head"),
    CZ_KEY_OTHER("note", TEXT, .fallback = "", .help = "what the column says, for the report"),
};
const cz_section cz_column_keys =
    CZ_SECTION("column", "An item of an experiment's `columns`.", column_keys);

static cz_status add_names(cz_buf *out, const char *const *names, bool markdown) {
  CZ_TRY(cz_buf_addf(out, ":"));
  for (; *names; names++) CZ_TRY(cz_buf_addf(out, markdown ? " `%s`" : " %s", *names));
  return cz_buf_addf(out, markdown ? "\n\n" : "\n");
}

/* "values of pretrain, finetune: loss ...", once for the kinds that share a list. */
static cz_status add_kinds(cz_buf *out, size_t first, bool markdown) {
  const char *const *results = cz_stage_rows[first]->results;
  for (size_t k = 0; k < first; k++)
    if (cz_stage_rows[k]->results == results) return CZ_OK;
  CZ_TRY(cz_buf_addf(out, "%svalues of", markdown ? "" : "  "));
  for (size_t k = first; k < cz_stage_row_count; k++)
    if (cz_stage_rows[k]->results == results)
      CZ_TRY(cz_buf_addf(out, "%s %s", k > first ? "," : "", cz_stage_rows[k]->name));
  return add_names(out, results, markdown);
}

/* The values that kinds of stage and their parts add to results. */
static cz_status add_values(cz_buf *out, bool markdown) {
  for (size_t k = 0; k < cz_stage_row_count; k++) {
    if (cz_stage_rows[k]->results) CZ_TRY(add_kinds(out, k, markdown));
    for (const cz_stage_part *const *p = cz_stage_rows[k]->parts; *p; p++) {
      if (!(*p)->results) continue;
      CZ_TRY(cz_buf_addf(out, "%svalues of one with a section %s, besides", markdown ? "" : "  ",
                         (*p)->key.name));
      CZ_TRY(add_names(out, (*p)->results, markdown));
    }
  }
  return CZ_OK;
}

/** Appends the help of the keys of an experiment file, and the values that kinds of stage
 * leave; MARKDOWN for documents. */
cz_status cz_experiment_help(cz_buf *out, bool markdown) {
  const cz_section *const sections[] = {&cz_experiment_keys, &cz_row_keys, &cz_axis_keys,
                                        &cz_column_keys};
  for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
    CZ_TRY(markdown ? cz_config_markdown(out, sections[i]) : cz_config_help(out, sections[i]));
  return add_values(out, markdown);
}
