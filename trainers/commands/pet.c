/* `cloze pet`: words into a request. */
#include "commands/commands.h"
#include "device/help.h"
#include "experiment/pet.h"
#include "tasks/readers/table.h"

const char cz_pet_usage[] =
    "cloze pet --model DIR --pattern FILE [--train FILE] --unlabeled FILE --test FILE --out DIR "
    "[--labels a,b,...] [--columns a,b] [--backslashes H] [--ipet] [--zero-shot] [--jobs N] "
    "[--device D] [--comm C] [key=value ...]\n"
    "From a few labelled texts, unlabelled ones and a pattern file to a classifier: PET, or iPET.\n"
    "  --model DIR       a pretrained masked LM (a Hugging Face directory)\n"
    "  --pattern FILE    fields, labels, words, patterns (docs/pet.md 3; cloze prompt check shows "
    "what becomes of it)\n"
    "  --train FILE      labelled texts: .csv or .tsv with a header, or .jsonl; columns by the "
    "names in the pattern file\n"
    "  --unlabeled FILE  texts that the ensemble labels for the classifier\n"
    "  --test FILE       texts to classify; with labels they are scored\n"
    "  --labels a,b,...  of a pattern file that names none\n" CZ_COLUMNS_HELP
    "  --ipet            generations of ensembles, each labelling texts for the next\n"
    "  --zero-shot       without labelled texts\n"
    "  --out DIR         result.json, predictions.jsonl, label_next.jsonl, student/ (cloze "
    "predict), "
    "run/ (the experiment, which goes on when the command is run again after a stop)\n"
    "  --jobs N          N processes, each with its share of the cores (default: one; for a model "
    "narrower than 512 on the CPU one a core, eight at most)\n"
    "  --device D        " CZ_DEVICE_HELP "\n"
    "  --comm C          auto (default), self, mpi\n"
    "  key=value         replaces a key of the experiment, e.g. common.train.steps=250, "
    "stages.pet.classify.repetitions=3, common.examples.max_length=128\n"
    "The stages are zero_shot, supervised, pet, with --ipet generation1, generation2, ..., and "
    "student; with --zero-shot untrained stands for supervised and pet. common.train.steps does "
    "not "
    "reach supervised and student, which have steps of their own: stages.supervised.train.steps, "
    "stages.student.train.steps.\n"
    "With seeds=[1, 2, 3] run/ has all of them and its report their means; what lies beside run/ "
    "is "
    "of the first.\n";

static cz_status need(const char *value, const char *option) {
  return value && *value ? CZ_OK : CZ_FAIL(CZ_EUSAGE, "pet: %s is missing", option);
}

static cz_status check(const cz_pet_request *r) {
  CZ_TRY(need(r->model, "--model DIR"));
  CZ_TRY(need(r->pattern, "--pattern FILE"));
  CZ_TRY(need(r->unlabeled, "--unlabeled FILE"));
  CZ_TRY(need(r->test, "--test FILE"));
  CZ_TRY(need(r->out, "--out DIR"));
  if (!r->zero_shot && !r->train)
    return CZ_FAIL(CZ_EUSAGE, "pet: --train FILE is missing; without labelled texts at all there "
                              "is --zero-shot");
  if (r->zero_shot && r->train)
    return CZ_FAIL(CZ_EUSAGE, "pet: --zero-shot takes no labelled texts, and --train names %s",
                   r->train);
  return CZ_OK;
}

/** The command `cloze pet`; its usage says what it reads and writes. Collective under MPI. */
cz_status cz_command_pet(int argc, char **argv) {
  cz_pet_request r = {.device = "cpu", .comm = "auto"};
  const cz_option options[] = {
      {"--model", &r.model, NULL},     {"--pattern", &r.pattern, NULL},
      {"--train", &r.train, NULL},     {"--unlabeled", &r.unlabeled, NULL},
      {"--test", &r.test, NULL},       {"--labels", &r.labels, NULL},
      {"--out", &r.out, NULL},         {"--device", &r.device, NULL},
      {"--comm", &r.comm, NULL},       {"--ipet", NULL, &r.ipet},
      {"--jobs", &r.jobs, NULL},       {"--zero-shot", NULL, &r.zero_shot},
      {"--columns", &r.columns, NULL}, {"--backslashes", &r.backslashes, NULL}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 0, -1, cz_pet_usage));
  CZ_TRY(check(&r));
  r.words = argv + 1;
  r.n_words = (size_t)argc - 1;
  return cz_pet_run(&r);
}
